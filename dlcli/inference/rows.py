"""Convert a caller's raw rows to the type that a kind of data requires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.notices import Notice
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.reading.column_notices import NewRowCounts
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.frames import names_in_model, read_frame
from dlcli.datasets.words.sentences import Sentences
from dlcli.errors import DataError, first_line

# Name of the column of texts in a table of sentences.
_TEXT = "text"

# The hint for a caller who passes the name of a file, by kind of data; for tables it shows how to read the file.
_ARRAYS = {
    "image": "Pass an array of images.",
    "audio": "Pass a list of waveforms, or name the files: dlcli.predict(RUN, FILES).",
}


def as_rows(x: Any, kind: str, columns: Columns | None = None, *, are_read: bool = False) -> Any:
    """Convert a caller's raw rows to the type that a kind of data requires.

    This is a table for `table`, and an array or a table for `sequence`; tables are read by the model's columns. Texts
    are unchanged; other rows become arrays.

    Args:
        x: the rows.
        kind: the kind of data.
        columns: the columns of the model, by which tables are read.
        are_read: whether a table has already been read by these columns, from a file.

    Raises:
        DataError: `x` is the name of a file, or cannot be converted to a table.
    """
    if isinstance(x, Path) or (isinstance(x, str) and (kind not in ("tokens", "words") or _is_file(x))):
        raise DataError(
            f"{x} is the name of a file, but predict expects the rows themselves",
            "new data",
            _ARRAYS.get(kind) or f"Read it: pandas.read_csv({str(x)!r})",
        )
    columns = None if are_read else columns
    if kind == "sequence":
        return _read(x, columns) if isinstance(x, pd.DataFrame) else np.asarray(x)
    if kind == "table":
        return _read(x if isinstance(x, pd.DataFrame) else _as_table(x), columns)
    if kind == "tokens":
        return x
    if kind == "questions":
        return Questions.of(x)
    if kind == "words":
        return Sentences.of(_texts(x) if isinstance(x, pd.DataFrame) else x)
    if isinstance(x, ImageFiles):  # decoded batch by batch
        return x
    if kind == "audio":  # waveforms of unequal length, which the preprocessing converts
        return x
    return x.to_numpy() if isinstance(x, pd.DataFrame) else np.asarray(x)


def notices_on_rows(rows: Any, kind: str, columns: Columns | None) -> list[Notice]:
    """Return notices on a caller's table: categories that training did not see, and empty rows."""
    if columns is None or not isinstance(rows, pd.DataFrame) or not rows.columns.is_unique:
        return []
    named = rows.set_axis(names_in_model(rows, columns), axis="columns")
    counts = NewRowCounts(columns, finds_empty=kind == "table")
    counts.add(named)
    return counts.notices()


def _read(x: pd.DataFrame, columns: Columns | None) -> pd.DataFrame:
    """Return a table in memory as its columns are read from a file."""
    if columns is None:
        return x
    return read_frame(x, Columns(tuple(c for c in columns if c.role in ("feature", "id", "time"))))


def _as_table(x: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(x)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"cannot be converted to a table: {first_line(error)}", "new data", "Pass a pandas.DataFrame."
        ) from error


def _texts(x: pd.DataFrame) -> list[str]:
    """Return the texts of a table: its column `text`, or its only column.

    Raises:
        DataError: there is no such column, or a text is missing.
    """
    if len(x.columns) != 1 and _TEXT not in x.columns:
        columns = ", ".join(map(str, x.columns))
        raise DataError(f"there is no column {_TEXT} among {columns}", "new data", "Pass the texts alone.")
    texts = (x[_TEXT] if _TEXT in x.columns else x.iloc[:, 0]).tolist()
    wrong = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"{texts[wrong]!r} is no text", f"new data: row {wrong}", "Pass texts.")
    return texts


def _is_file(text: str) -> bool:
    """Return whether a text is the name of an existing file. Most texts are too long for a name, an OSError."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
