"""Holding the cells of a large text file: in few large buffers, repeated strings only once, and each column of numbers
in one array, which needs no further copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Bytes of the batches (blocks of the file) that become one chunk. The many small buffers of single blocks would leave
# gaps in memory when the columns are converted and freed one by one.
_CHUNK = 1 << 24

# A column is kept as codes if at most this share of the strings of the first chunk are distinct: a code takes 4 bytes,
# a string 4 bytes and its characters.
_DISTINCT = 0.25


def packed(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int = 0) -> pa.Table:
    """Return batches as a table; in a large one, columns of strings of which few are distinct are dictionaries.

    `rows` is the expected number of rows, for which memory is reserved.
    """
    numbers = {place: _Numbers(rows) for place, kind in enumerate(schema.types) if pa.types.is_floating(kind)}
    others = [place for place in range(len(schema)) if place not in numbers]

    def without_numbers() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place, column in numbers.items():
                column.add(batch.column(place))
            yield batch.select(others)

    strings = iter(_packed(without_numbers(), pa.schema([schema.field(place) for place in others])).columns)
    columns = [numbers[place].column() if place in numbers else next(strings) for place in range(len(schema))]
    return pa.table(columns, names=schema.names)


class _Numbers:
    """A column of numbers in one array; memory beyond its numbers is only reserved."""

    def __init__(self, rows: int) -> None:
        self._values = _reserved(rows)
        self._count = self._missing = 0

    def add(self, numbers: pa.Array) -> None:
        """Append numbers."""
        end = self._count + len(numbers)
        if end > len(self._values):
            values = _reserved(end + end // 2)
            values[: self._count] = self._values[: self._count]
            self._values = values
        self._values[self._count : end] = numbers.to_numpy(zero_copy_only=False)
        self._count = end
        self._missing += numbers.null_count

    def column(self) -> pa.Array:
        """Return the column, which shares the memory of the array; words such as NAN remain NaN."""
        values = self._values[: self._count]
        absent = np.isnan(values) if self._missing else None
        if absent is not None and np.count_nonzero(absent) > self._missing:
            absent = None  # some of the missing values are not, and the column is read again
        return pa.array(values, mask=absent)


def _reserved(rows: int) -> np.ndarray:
    """Return an array for numbers; numpy's own would be in huge pages, which take the kernel longer to provide."""
    return np.frombuffer(pa.allocate_buffer(8 * rows), np.float64)


def _packed(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    chunks: list[pa.Table] = []
    waiting: list[pa.RecordBatch] = []
    encoded: Sequence[bool] | None = None
    size = 0
    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size >= _CHUNK:
            size = 0
            chunk = pa.Table.from_batches(waiting, schema).combine_chunks()
            waiting.clear()
            encoded = [_repeats(column) for column in chunk.columns] if encoded is None else encoded
            chunks.append(_encoded(chunk, encoded))
            del chunk
            pa.default_memory_pool().release_unused()  # it keeps freed memory for later use
    rest = pa.Table.from_batches(waiting, schema)
    if encoded is None:
        return rest
    return pa.concat_tables([*chunks, _encoded(rest.combine_chunks(), encoded)])


def _repeats(column: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(column, mode="all").as_py() <= _DISTINCT * len(column))


def _encoded(chunk: pa.Table, which: Sequence[bool]) -> pa.Table:
    """Return a chunk with these columns as dictionaries."""
    for number, repeats in enumerate(which):
        if repeats:
            column = chunk.column(number).dictionary_encode()
            chunk = chunk.set_column(number, chunk.field(number).name, column)
    return chunk
