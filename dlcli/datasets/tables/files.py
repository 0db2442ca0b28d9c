"""`read_table`: reading a table file of any supported format."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.tables.arrow_types import from_columns, is_unsupported, to_series
from dlcli.datasets.tables.compression import format_of, is_packed
from dlcli.datasets.tables.delimited import MISSING, read_delimited
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.source import Source, check_unique_names, checked
from dlcli.errors import DataError, first_line
from dlcli.files.paths import kind_at, list_names
from dlcli.formatting import amount
from dlcli.process.memory import free_memory

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", "")
_PARQUET, _LINES, _EXCEL = (".parquet", ".pq"), (".jsonl", ".ndjson", ".json"), (".xlsx", ".xlsm")


def is_table(file: Path) -> bool:
    """Return whether a file has the suffix of a table."""
    return format_of(file) in (*filter(None, _TEXT), *_PARQUET, *_LINES, *_EXCEL)


def table_format(file: Path) -> Literal["text", "parquet", "json lines", "excel"]:
    """Return the format of a table file by its suffix.

    Raises:
        DataError: the format is not supported.
    """
    suffix = format_of(file)
    if suffix in (*_PARQUET, *_EXCEL) and is_packed(file):
        raise DataError(
            f"is a compressed {suffix} file", str(file), "Decompress it: the format has its own compression."
        )
    if suffix in _PARQUET:
        return "parquet"
    if suffix in _LINES:
        return "json lines"
    if suffix in _EXCEL:
        return "excel"
    if suffix not in _TEXT:
        known = ", ".join(name for name in (*_TEXT, *_PARQUET, *_LINES, *_EXCEL) if name)
        raise DataError(f"{suffix} is not a supported table format", str(file), f"Use one of {known}.")
    return "text"


def require_file(file: Path, advice: str = "") -> None:
    """Raise an error if a file does not exist, cannot be read or is empty.

    Raises:
        DataError: the file cannot be used; the hint suggests similar names if it does not exist.
    """
    found = kind_at(file)
    if found == "folder":
        raise DataError("is a folder", str(file), hint("Give a file in it.", advice))
    if found == "device":
        raise DataError("is a pipe or a device, not a file", str(file), "Copy its content into a file.")
    if found == "refused":
        raise DataError("cannot be accessed by this user", str(file), "Change the permissions of its folder.")
    if found == "nothing":
        near = near_files(file.name, list_names(file.parent))
        raise DataError("there is no such file", str(file), hint(question(near), advice))
    if not file.stat().st_size:  # also kernel files such as those in /proc, some of which never end
        raise DataError("is empty", str(file), "Give at least one row.")


def read_table(
    file: Path,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    types: Mapping[str, str] | None = None,
    quotes: bool | None = None,
    missing: Sequence[str] | None = None,
) -> Source:
    """Read a table of any supported format; the keywords apply to text files, and None detects or takes the default.

    Raises:
        DataError: the file does not exist, its format is not supported, or it is not a valid table.
    """
    require_file(file, "Check dataset.path.")
    kind = table_format(file)
    if kind == "parquet":
        return checked(_parquet(file))
    if kind == "json lines":
        return checked(read_json_lines(file))
    if kind == "excel":
        return checked(_excel(file))
    return checked(
        read_delimited(
            file,
            separator=separator,
            decimal=decimal,
            header=header,
            encoding=encoding,
            types=types,
            quotes=quotes,
            missing=MISSING if missing is None else missing,
        )
    )


def _parquet(file: Path) -> Source:
    with parquet_errors(file), parquet.ParquetFile(file) as table:
        schema = table.schema_arrow
        check_unique_names(schema.names, file)
        # Convert column by column, so that at most one column of a large table is in memory twice.
        unsupported = {field.name: str(field.type) for field in schema if is_unsupported(field)}
        columns = [
            to_series(table.read([name]).column(0), schema.field(name), file)
            for name in schema.names
            if name not in unsupported
        ]
    return Source(from_columns(columns), file, unsupported=unsupported)


@contextmanager
def parquet_errors(file: Path) -> Iterator[None]:
    """Convert exceptions about a damaged Parquet file to an error that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        raise DataError(
            f"is not a valid Parquet file: {first_line(error)}", str(file), "Copy it again."
        ) from error


def _excel(file: Path) -> Source:
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(
            "Excel files need openpyxl", str(file), "Install it: pip install 'dlcli[excel]'"
        ) from error
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > (free := free_memory()):
            raise DataError(
                f"needs {amount(size)} uncompressed, but only {amount(free)} of memory are free",
                str(file),
                "Save it as .csv, which needs a tenth of the memory.",
            )
        frame = pd.read_excel(file, engine="openpyxl")
    except DataError:
        raise
    except Exception as error:  # openpyxl raises various exceptions for damaged files
        raise DataError(
            f"is not a valid Excel file: {first_line(error)}", str(file), "Copy it again."
        ) from error
    for name in frame.columns:
        if frame[name].dtype == object:  # cells of several kinds are read as strings
            frame[name] = frame[name].map(str, na_action="ignore").astype("str")
    frame.columns = [str(name) for name in frame.columns]
    return Source(frame, file, first=2)
