"""Where predictions go: a file that is there as a whole or not at all, or standard output."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.tables.arrow_types import DATES
from dlcli.errors import DataError, InputError, first_line
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_folder, resolved
from dlcli.files.unfinished import unfinished

Write = Callable[[pa.Table], None]

_write_errors = partial(write_errors, what="the file", elsewhere="write elsewhere")

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def check_output(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that cannot be written, before anything is predicted.

    Raises:
        InputError: its ending is not known, its folder is not there, or it is one of the inputs.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError("the ending says nothing", str(path), f"It is one of {', '.join(_SUFFIXES)}.")
    if not is_folder(path.parent):
        raise InputError("there is no such folder", str(path.parent), "Make it, or name another.")
    if resolved(path) in map(resolved, inputs):
        raise InputError("would replace the rows that are predicted", str(path), "Name another --output.")


@contextmanager
def written_to(path: Path) -> Iterator[Write]:
    """What appends lines to a file, in the format that its ending names; the file is there once all of them are.

    Raises:
        DiskFull: there is no room for them.
        InputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        with _write_errors(path):
            partial = stack.enter_context(unfinished(path))
            file = partial.open("wb")
        stack.callback(_let_go, file)
        if suffix == ".parquet":
            table = _Parquet(file, path)
            stack.callback(_let_go, table)
            yield telling(table.write, str(path))
        else:
            yield telling(csv_to(file) if suffix == ".csv" else _json_lines_to(file), str(path))
        with _write_errors(path):
            if suffix == ".parquet":
                table.close()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            partial.replace(path)


def _let_go(opened: Any) -> None:
    """Close what is closed already, if all is written, or what is thrown away."""
    with suppress(OSError):
        opened.close()


def telling(write: Write, where: str) -> Write:
    """The same, but for the system's refusal, which is said as of a file."""

    def told(table: pa.Table) -> None:
        with _write_errors(where):
            write(table)

    return told


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
    """Single precision in as few digits as it takes: 0.1, not 0.10000000149011612; NaN is a gap.

    Times have their time of day, unless a column is of dates: a piece of it must not look otherwise than the next.
    """
    for number, field in enumerate(table.schema):
        column, values = table.column(number), None
        if pa.types.is_floating(field.type):
            floats = column.to_numpy()
            single = field.type == pa.float32()
            values = pa.array(floats.astype(str).astype(np.float64) if single else floats, from_pandas=True)
        elif pa.types.is_timestamp(field.type):
            length = len("2024-12-31") if field.metadata == DATES else None
            times = column.to_pandas()
            values = pa.array(
                [str(time)[:length] for time in times], pa.string(), mask=times.isna().to_numpy()
            )
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


class _Parquet:
    """A Parquet file, whose columns are of the types of the first lines."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        from pyarrow import parquet

        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        try:
            self._writer.write_table(table.cast(self._writer.schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"a column that is kept holds values of several kinds: {first_line(error)}",
                str(self._path),
                "Write a .csv, or keep other columns.",
            ) from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
