"""Write CSV from whole Arrow columns: the same text as pandas, several times faster.

Equality is tested against the installed pandas and Arrow (3.1 and 25.0 when this was written).
"""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# For floats in this range (upper end excluded) Arrow 25 writes the digits of Python's repr, without an exponent; others
# are written by Python.
_LOW, _HIGH = 1e-4, 1e10


def csv_lines(table: pa.Table, *, header: bool) -> bytes:
    """Return a table as lines of CSV: empty cells for null and NaN, quotes only where they are needed.

    Single-precision numbers have as few digits as possible: 0.1, not 0.10000000149011612.
    """
    texts = [_text(column) for column in table.columns]
    known = [text for text in texts if text is not None]
    # Python's versions differ in whether a carriage return needs quotes; a single empty cell always does.
    if len(known) < max(2, len(texts)) or any(_has(text, "\r") for text in known):
        return _by_pandas(table, header)
    begin = _names(table.column_names) if header else b""
    if not len(table):
        return begin
    lines = pc.binary_join_element_wise(*(pc.fill_null(_quoted(text), "") for text in known), ",")
    every = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return begin + pc.binary_join(every, "\n")[0].as_buffer().to_pybytes() + b"\n"


def _names(names: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue().encode()


def _text(column: pa.ChunkedArray) -> pa.Array | None:
    """Return a column as strings; None for types that Arrow writes differently from Python."""
    values, types = (
        pa.concat_arrays(column.chunks) if column.num_chunks else column.combine_chunks(),
        pa.types,
    )
    if types.is_string(values.type) or types.is_large_string(values.type) or types.is_integer(values.type):
        return values.cast(pa.string())
    if types.is_boolean(values.type):
        return pc.if_else(values, "True", "False")
    return _floats(values) if values.type in (pa.float32(), pa.float64()) else None


def _floats(values: pa.Array) -> pa.Array:
    """Return the shortest texts that represent the numbers in their precision, as written by Python."""
    numbers = values.to_numpy(zero_copy_only=False)
    known = ~np.isnan(numbers)
    size = np.abs(numbers)
    usual = ((size >= _LOW) & (size < _HIGH)) | (size == 0) | ~known
    texts = pc.cast(values, pa.string())
    whole = pa.array(known & (np.trunc(numbers) == numbers) & usual)
    if pc.any(whole).as_py():
        texts = pc.if_else(whole, pc.binary_join_element_wise(texts, "0", "."), texts)
    if not usual.all():
        others = _doubles(numbers[~usual])
        written = pa.array(map(repr, others.tolist()), pa.string())
        texts = pc.replace_with_mask(texts, pa.array(~usual), written)
    return pc.if_else(pa.array(known), texts, pa.scalar(None, pa.string()))


def _quoted(texts: pa.Array) -> pa.Array:
    if not any(_has(texts, sign) for sign in ',"\n'):
        return texts
    inside = pc.replace_substring(texts, '"', '""')
    needs = pc.match_substring_regex(texts, '[,"\n]')
    return pc.if_else(needs, pc.binary_join_element_wise('"', inside, '"', ""), texts)


def _has(texts: pa.Array, sign: str) -> bool:
    return bool(pc.any(pc.match_substring(texts, sign)).as_py())


def with_short_floats(table: pa.Table) -> pa.Table:
    """Return a table with floats in double precision, with as few digits as possible, and null for NaN."""
    for number, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            doubles = _doubles(table.column(number).to_numpy())
            table = table.set_column(number, field.name, pa.array(doubles, from_pandas=True))
    return table


def _doubles(floats: np.ndarray) -> np.ndarray:
    """Return the double-precision values of the shortest texts of floats."""
    return floats.astype(str).astype(np.float64) if floats.dtype == np.float32 else floats


def _by_pandas(table: pa.Table, header: bool) -> bytes:
    # With Arrow's types, integers stay integers in columns with missing values.
    return (
        with_short_floats(table)
        .to_pandas(types_mapper=pd.ArrowDtype)
        .to_csv(index=False, header=header)
        .encode()
    )
