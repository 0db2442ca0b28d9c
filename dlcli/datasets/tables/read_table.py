"""`read_table`: reading a table file of any supported format."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pyarrow import parquet

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.tables.arrow_types import is_unsupported
from dlcli.datasets.tables.compression import format_of, is_packed
from dlcli.datasets.tables.delimited import read_delimited
from dlcli.datasets.tables.excel import read_excel
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.source import RawTable, Source, check_unique_names
from dlcli.errors import DataError, first_line
from dlcli.files.paths import kind_at, list_names
from dlcli.process import program

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".train", ".test", "")
_PARQUET, _LINES, _EXCEL = (".parquet", ".pq"), (".jsonl", ".ndjson", ".json"), (".xlsx", ".xlsm")


# How pandas reads other formats, for messages.
_READ_BY = {
    ".feather": "pandas.read_feather({})", ".arrow": "pandas.read_feather({})", ".orc": "pandas.read_orc({})",
    ".xls": "pandas.read_excel({})", ".ods": "pandas.read_excel({})", ".dta": "pandas.read_stata({})",
    ".sav": "pandas.read_spss({})", ".sas7bdat": "pandas.read_sas({})", ".pkl": "pandas.read_pickle({})",
    ".pickle": "pandas.read_pickle({})", ".arff": "pandas.DataFrame(scipy.io.arff.loadarff({})[0])",
    ".h5": "pandas.read_hdf({})", ".xml": "pandas.read_xml({})", ".html": "pandas.read_html({})[0]",
}  # fmt: skip


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
        use = f"Use one of {known}."
        if read := _READ_BY.get(suffix):
            to = f"to_parquet({file.stem + '.parquet'!r})"
            use = f"Convert it in Python: {read.format(repr(file.name))}.{to}. {use}"
        raise DataError(f"{suffix} is not a supported table format", str(file), use)
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


def read_raw(
    file: Path,
    options: FormatOptions | None = None,
    names: Collection[str] = (),
    deciding: ReadingOptions | None = None,
) -> RawTable:
    """Return the cells of a table of any supported format.

    Args:
        file: the file.
        options: its format; None detects it.
        names: names of columns that settings use, by which the header of a text file is recognized.
        deciding: the options of `RawTable.decided` if it will be called, which makes reading large text files faster.

    Raises:
        DataError: the file does not exist, its format is not supported, or it is not a valid table.
    """
    require_file(file, "Check dataset.path.")
    return_freed_memory(file)
    options = options or FormatOptions()
    kind = table_format(file)
    if kind == "parquet":
        return _parquet(file, names)
    if kind == "json lines":
        return read_json_lines(file)
    if kind == "excel":
        return read_excel(file, options.sheet)
    return read_delimited(file, options, names, deciding=deciding)


def read_table(
    file: Path,
    *,
    types: Mapping[str, Kind] | None = None,
    missing: Sequence[str] | None = None,
    options: FormatOptions | None = None,
) -> Source:
    """Read a table of any supported format, with columns that are decided on all of its rows.

    Args:
        file: the file.
        types: kinds of columns that are given.
        missing: words that denote a missing value; None for the usual ones, and [""] for none but the empty cell.
        options: format of the file; None detects it.

    Raises:
        DataError: the file is not a valid table, or two readings fit a column.
    """
    return read_raw(file, options, types or ()).decided(ReadingOptions(types=types or {}, missing=missing))


def _parquet(file: Path, names: Collection[str]) -> RawTable:
    with parquet_errors(file), parquet.ParquetFile(file) as table:
        schema = table.schema_arrow
        check_unique_names(schema.names, file)
        unsupported = {field.name: str(field.type) for field in schema if is_unsupported(field)}
        cells = table.read([name for name in schema.names if name not in unsupported])
        lists = table.read([name for name in unsupported if name in names])
    for name in pandas_categories(schema):
        number = cells.column_names.index(name) if name in cells.column_names else -1
        if number >= 0 and not pa.types.is_dictionary(cells.schema.field(number).type):
            cells = cells.set_column(number, name, cells.column(number).dictionary_encode())
    return RawTable.of(
        cells.replace_schema_metadata(None),
        file,
        unsupported=unsupported,
        index=index_columns(schema),
        lists=dict(zip(lists.column_names, lists.columns, strict=True)),
    )


def pandas_categories(schema: pa.Schema) -> list[str]:
    """Return the columns that are categories in pandas; Parquet itself holds categories of numbers as numbers."""
    try:
        columns = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["columns"]
        return [column["field_name"] for column in columns if column["pandas_type"] == "categorical"]
    except (ValueError, KeyError, TypeError):
        return []


def index_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns that pandas has written for the index of a frame, such as `__index_level_0__`."""
    try:
        written = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        return tuple(name for name in written if isinstance(name, str))
    except (ValueError, KeyError, TypeError):
        return ()


@contextmanager
def parquet_errors(file: Path) -> Iterator[None]:
    """Convert exceptions about a damaged Parquet file to an error that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        raise DataError(
            f"is not a valid Parquet file: {first_line(error)}", str(file), "Copy it again."
        ) from error


# Bytes from which a file is large.
_LARGE = 1 << 24


def return_freed_memory(file: Path) -> None:
    """Make Arrow return freed memory to the system from now on, if a large file is to be read.

    Arrow's default, mimalloc, keeps as much as half of the size of a large table between the buffers that are in use.
    The pool of the whole process changes, since the columns are converted after the file is read. It is left as it is
    if the user has chosen one, and in a program that imports dlcli, which may use Arrow for other things.
    """
    if not program.is_running or "ARROW_DEFAULT_MEMORY_POOL" in os.environ:
        return
    if file.stat().st_size >= _LARGE:
        with contextlib.suppress(NotImplementedError):  # not part of every build
            pa.set_memory_pool(pa.jemalloc_memory_pool())
