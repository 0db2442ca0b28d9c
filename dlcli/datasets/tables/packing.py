"""Holding the cells of a large text file: in few large buffers, and repeated strings only once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

# Bytes of the batches (blocks of the file) that become one chunk. The many small buffers of single blocks would leave
# gaps in memory when the columns are converted and freed one by one.
_CHUNK = 1 << 24

# A column is kept as codes if at most this share of the strings of the first chunk are distinct: a code takes 4 bytes,
# a string 4 bytes and its characters.
_DISTINCT = 0.25


def packed(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return batches as a table; in a large one, columns of strings of which few are distinct are dictionaries."""
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
    if not pa.types.is_string(column.type):  # numbers that are parsed
        return False
    return bool(pc.count_distinct(column, mode="all").as_py() <= _DISTINCT * len(column))


def _encoded(chunk: pa.Table, which: Sequence[bool]) -> pa.Table:
    """Return a chunk with these columns as dictionaries."""
    for number, repeats in enumerate(which):
        if repeats:
            column = chunk.column(number).dictionary_encode()
            chunk = chunk.set_column(number, chunk.field(number).name, column)
    return chunk
