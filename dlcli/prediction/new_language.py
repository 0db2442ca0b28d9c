"""Read new text for a language model, in blocks or lines like its training rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dlcli.datasets.language import Cut, read_passages
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.pieces import STDIN, piped
from dlcli.errors import InputError
from dlcli.prediction.new_rows import NewRows, labels_of
from dlcli.prediction.new_texts import TextLayout, TextSettings, read_texts
from dlcli.preprocessing.language import Language
from dlcli.preprocessing.pretrained_masked import PretrainedMasked

# Number of rows predicted at a time.
_ROWS = 1 << 14


@dataclass(frozen=True)
class LanguageSettings(TextSettings):
    """Settings for reading text.

    Attributes:
        block: maximum number of characters of a row; longer lines continue in further rows.
    """

    block: int = 64


def read_language(
    files: Sequence[Path],
    preprocessing: Language | PretrainedMasked,
    keep: Sequence[str] | None,
    settings: LanguageSettings,
    report: Callable[[Notice], None],
    content: io.BufferedReader | None = None,
    layout: TextLayout | None = None,
) -> Iterator[NewRows]:
    """Yield the rows of files with their numbers and the line numbers at which they begin; for lines also their texts.

    With `layout` of a table, `content` is a table in memory with a text in each row.

    Raises:
        DataError: a file is empty, binary or in another encoding.
        InputError: columns are to be kept.
    """
    if layout == "table":
        yield from read_texts(files, keep, settings, report, content, layout)
        return
    if keep or keep is None:
        raise InputError("plain text has no columns to keep", "--keep", "Remove the option.")
    cut: Cut = "lines" if preprocessing.are_documents_ else "blocks"
    for file in files:
        given = content or (piped() if file == STDIN else None)
        found = read_passages(
            file, cut, settings.block, settings.encoding, given.read() if given is not None else None
        )
        for notice in found.notices:
            report(notice)
        numbers, of_file = found.line_numbers(), found.file_of_rows()
        for first in range(0, len(found.rows), _ROWS):
            some = found.rows[first : first + _ROWS]
            rows = range(first, first + len(some))
            labels = labels_of(files, file, row=pa.array(rows), line=numbers[first : first + _ROWS])
            if len(found.files) > 1:
                names = [found.files[number].where for number in of_file[first : first + _ROWS]]
                labels = pa.table({"file": names, **{n: labels[n] for n in ("row", "line")}})
            if some.are_documents:
                labels = labels.append_column("text", pa.array([text.rstrip("\n") for text in some.texts()]))
            yield NewRows(file, some, labels)
