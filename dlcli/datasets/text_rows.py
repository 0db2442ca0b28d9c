"""`Texts`: the rows of text datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.tables.typed_frames import named
from dlcli.errors import DataError

# Number of texts converted to Python strings at a time; all of them would take several times the memory.
_BATCH = 4096


class Texts:
    """Texts in an Arrow column: one block of UTF-8 in memory or in a mapped file.

    Processes share it like arrays, without pickling.

    Args:
        values: the texts; a missing text counts as empty.
        name: name of the column, by which it is found in a table of new rows.
    """

    def __init__(self, values: pa.Array | pa.ChunkedArray, name: str = "") -> None:
        self.values = values
        self.name = name

    @classmethod
    def of(cls, texts: Any, name: str = "") -> Texts:
        """Create texts from a list, an array, a Series, or a table with a column of that name (or a single column).

        Raises:
            DataError: the table has no such column.
        """
        if isinstance(texts, Texts):
            return texts
        if isinstance(texts, str):  # a single text, not a sequence of characters
            texts = [texts]
        if isinstance(texts, pd.DataFrame):
            texts = _column(texts, name)
        if isinstance(texts, np.ndarray):
            texts = texts.ravel()
        if not isinstance(texts, pd.Series | np.ndarray):
            texts = list(texts)
        try:
            return cls(pa.array(texts, pa.large_string(), from_pandas=True), name)
        except (pa.ArrowException, UnicodeEncodeError):  # there are numbers, or lone surrogates
            return cls(pa.array([_as_text(text) for text in texts], pa.large_string()), name)

    @property
    def shape(self) -> tuple[int]:
        """`(N,)`."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[str]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[str]]:
        """Iterate over all texts in order, in batches."""
        for start in range(0, len(self), _BATCH):
            yield [text or "" for text in self.values.slice(start, _BATCH).to_pylist()]

    def characters(self) -> int:
        """Return the number of characters of all texts."""
        return pc.sum(pc.utf8_length(self.values)).as_py() or 0

    def portions(self, characters: int) -> Iterator[list[str]]:
        """Iterate over all texts in order, in parts of limited length; a longer text is a part of its own."""
        return portions_of(self, characters)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Texts:
        """Return some of the rows in this order."""
        index = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        return Texts(self.values.take(pa.array(index, pa.int64())), self.name)

    def empty(self) -> np.ndarray:
        """Return a mask `(N,)` of the rows that are empty or only whitespace."""
        length = pc.utf8_length(pc.utf8_trim_whitespace(self.values))
        return pc.equal(pc.fill_null(length, 0), 0).to_numpy(zero_copy_only=False)

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from: lengths and bytes of all texts."""
        for batch in self.batches():
            encoded = [text.encode() for text in batch]
            yield np.array([len(text) for text in encoded], np.int64)
            yield np.frombuffer(b"".join(encoded), np.uint8)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    table = named(table, [name])
    if name in table:
        return table[name]
    if table.shape[1] == 1:
        return table.iloc[:, 0]
    names = [str(column) for column in table.columns]
    message = f"there is no column {name}" if name else "there are several columns that may contain the texts"
    raise DataError(message, "", hint(did_you_mean(name, names), choices(names)))


def _as_text(value: Any) -> str:
    """Return a cell as text; a missing one is empty."""
    if value is None or value != value:
        return ""
    return str(value).encode("utf-8", errors="replace").decode()


def portions_of(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    """Yield texts in order, in lists of limited length in characters; a longer text is a list of its own."""
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and size + len(text) > characters:
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += len(text)
    if portion:
        yield portion
