"""Where predictions go: a file that is there as a whole or not at all, or standard output."""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.errors import DataError, DiskFull, InputError, first_line

Write = Callable[[pa.Table], None]

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def check_output(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that cannot be written, before anything is predicted.

    Raises:
        InputError: its ending is not known, its folder is not there, or it is one of the inputs.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError("the ending says nothing", str(path), f"It is one of {', '.join(_SUFFIXES)}.")
    if not path.parent.is_dir():
        raise InputError("there is no such folder", str(path.parent), "Make it, or name another.")
    if path.resolve() in [file.resolve() for file in inputs]:
        raise InputError("would replace the rows that are predicted", str(path), "Name another --output.")


@contextmanager
def written_to(path: Path) -> Iterator[Write]:
    """What appends lines to a file, in the format that its ending names; the file is there once all of them are.

    Raises:
        DiskFull: there is no room for them.
        InputError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    suffix = path.suffix.lower()
    try:
        with write_errors(str(path)), partial.open("wb") as file:
            if suffix == ".parquet":
                with _parquet(file, path) as write:
                    yield write
            else:
                yield csv_to(file) if suffix == ".csv" else _json_lines_to(file)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_errors(where: str) -> Iterator[None]:
    """The system's refusal to write there, as an error that says what to do."""
    try:
        yield
    except BrokenPipeError:  # whoever reads has enough
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "no space left for the file", where, "Make room there, or write elsewhere."
            ) from error
        raise InputError(f"cannot be written: {error.strerror or error}", where) from error


def csv_to(file: IO[bytes]) -> Write:
    """What appends lines to a CSV, the columns' names first."""
    header = True

    def write(table: pa.Table) -> None:
        nonlocal header
        # Arrow's own types keep whole numbers whole where some are missing.
        text = _legible(table).to_pandas(types_mapper=pd.ArrowDtype).to_csv(index=False, header=header)
        file.write(text.encode())
        header = False

    return write


def records(table: pa.Table) -> list[dict[str, Any]]:
    """Lines as JSON has them: NaN is null."""
    table = _legible(table)
    columns = {name: _plain(table[name]) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _legible(table: pa.Table) -> pa.Table:
    """Single precision in as few digits as it takes: 0.1, not 0.10000000149011612; dates without a time as such."""
    for number, field in enumerate(table.schema):
        values = None
        if pa.types.is_float32(field.type):
            values = pa.array(table[field.name].to_numpy().astype(str).astype(np.float64))
        elif pa.types.is_timestamp(field.type):
            times = table[field.name].to_pandas()
            values = pa.array(times.astype("str").where(times.notna(), None), pa.string())
        if values is not None:
            table = table.set_column(number, field.name, values)
    return table


def _plain(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [value if value is not None and math.isfinite(value) else None for value in values]
    return values


def _json_lines_to(file: IO[bytes]) -> Write:
    def write(table: pa.Table) -> None:
        lines = (json.dumps(record, ensure_ascii=False, default=str) for record in records(table))
        file.write("".join(f"{line}\n" for line in lines).encode())

    return write


@contextmanager
def _parquet(file: IO[bytes], path: Path) -> Iterator[Write]:
    """What appends lines to a Parquet file, whose columns are of the types of the first."""
    from pyarrow import parquet

    writer: Any = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        if writer is None:
            writer = parquet.ParquetWriter(file, table.schema)
        try:
            writer.write_table(table.cast(writer.schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"a column that is kept holds values of several kinds: {first_line(error)}",
                str(path),
                "Write a .csv, or keep other columns.",
            ) from error

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
