"""Write predictions to standard output, or to a file that appears only when it is complete."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from dlcli.datasets.tables.arrow_types import DATES
from dlcli.errors import DataError, InputError, first_line
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_folder, kind_at, resolved
from dlcli.files.unfinished import unfinished
from dlcli.prediction.csv_text import csv_lines, with_short_floats

Write = Callable[[pa.Table], None]

_write_errors = partial(write_errors, what="the file", elsewhere="write elsewhere")

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def check_output(path: Path, inputs: Sequence[Path]) -> None:
    """Check that a file can be written, before anything is predicted.

    Raises:
        InputError: The extension is unknown, the folder does not exist, or the file is one of the inputs.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError("has an unknown extension", str(path), f"Use one of {', '.join(_SUFFIXES)}.")
    if not is_folder(path.parent):
        raise InputError("there is no such folder", str(path.parent), "Create it, or name another.")
    if kind_at(path) == "device":  # a file would replace it
        raise InputError(
            "is not a regular file", str(path), "Name another --output, or leave it out for CSV on stdout."
        )
    if resolved(path) in map(resolved, inputs):
        raise InputError("would overwrite the rows to predict", str(path), "Name another --output.")


def check_folder(folder: Path, inputs: Sequence[Path]) -> None:
    """Check that files can be written into a folder without replacing any, before anything is predicted.

    Raises:
        InputError: It contains files, overlaps with an input, or cannot be created.
    """
    place = resolved(folder)
    for own in map(resolved, inputs):
        if place == own or place in own.parents or own in place.parents:
            message = "would mix the predicted files with the rows to predict"
            raise InputError(message, str(folder), "Name a new folder next to them: --files DIR")
    if kind_at(folder) == "nothing":
        if not is_folder(folder.parent):
            raise InputError("there is no such folder", str(folder.parent), "Create it, or name another.")
    elif not is_folder(folder):
        raise InputError("is not a folder", str(folder), "Name another --files.")
    else:
        with _write_errors(folder):
            if any(folder.iterdir()):
                raise InputError(
                    "has files, which could be replaced", str(folder), "Name a new folder: --files DIR"
                )


@contextmanager
def written_to(path: Path) -> Iterator[Write]:
    """Yield a function that appends lines to a file, in the format of its extension.

    The file appears when the context ends without an error.

    Raises:
        DiskFull: The disk is full.
        InputError: The file cannot be written.
    """
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        with _write_errors(path):
            partial = stack.enter_context(unfinished(path))
            file = partial.open("wb")
        stack.callback(_close, file)
        if suffix == ".parquet":
            table = _Parquet(file, path)
            stack.callback(_close, table)
            yield with_write_errors(table.write, str(path))
        else:
            yield with_write_errors(csv_to(file) if suffix == ".csv" else _json_lines_to(file), str(path))
        with _write_errors(path):
            if suffix == ".parquet":
                table.close()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            partial.replace(path)


def _close(opened: Any) -> None:
    """Close a file without errors: it is either closed already, or incomplete and will be deleted."""
    with suppress(OSError):
        opened.close()


def with_write_errors(write: Write, where: str) -> Write:
    """Return a function that calls `write` and converts the system's write errors to those of dlcli."""

    def checked(table: pa.Table) -> None:
        with _write_errors(where):
            write(table)

    return checked


def csv_to(file: IO[bytes]) -> Write:
    """Return a function that appends lines to a CSV; the first call also writes the header."""
    header = True

    def write(table: pa.Table) -> None:
        nonlocal header
        file.write(csv_lines(_with_times(table), header=header))
        header = False

    return write


def as_dicts(table: pa.Table) -> list[dict[str, Any]]:
    """Return the lines as dictionaries for JSON: NaN becomes null."""
    table = _legible(table)
    columns = {name: _plain(table[name]) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _legible(table: pa.Table) -> pa.Table:
    """Convert values for output.

    Single-precision numbers get as few digits as possible (0.1, not 0.10000000149011612), and NaN becomes null.
    """
    return with_short_floats(_with_times(table))


def _with_times(table: pa.Table) -> pa.Table:
    """Write times with the time of day unless the column contains dates, so that all pieces have the same format."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            length = len("2024-12-31") if field.metadata == DATES else None
            times = table.column(number).to_pandas()
            texts = [str(time)[:length] for time in times]
            values = pa.array(texts, pa.string(), mask=times.isna().to_numpy())
            table = table.set_column(number, field.name, values)
    return table


def _plain(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [value if value is not None and math.isfinite(value) else None for value in values]
    return values


def _json_lines_to(file: IO[bytes]) -> Write:
    def write(table: pa.Table) -> None:
        lines = (json.dumps(record, ensure_ascii=False, default=str) for record in as_dicts(table))
        file.write("".join(f"{line}\n" for line in lines).encode())

    return write


class _Parquet:
    """A Parquet file; the first lines determine the types of its columns."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        try:
            self._writer.write_table(table.cast(self._writer.schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"a kept column has values of several types: {first_line(error)}",
                str(self._path),
                "Write a .csv, or keep other columns.",
            ) from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
