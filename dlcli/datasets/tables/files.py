"""`read_table`: a file, whatever its format, as rows and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.tables.bounds import free_memory
from dlcli.datasets.tables.compression import format_of, is_packed
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.source import Source, checked, refuse_namesakes
from dlcli.errors import DataError, first_line
from dlcli.files.paths import kind_at, list_names
from dlcli.formatting import amount

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", "")
_PARQUET, _LINES, _EXCEL = (".parquet", ".pq"), (".jsonl", ".ndjson", ".json"), (".xlsx", ".xlsm")


def is_table(file: Path) -> bool:
    """Whether a file's name says that it is a table."""
    return format_of(file) in (*filter(None, _TEXT), *_PARQUET, *_LINES, *_EXCEL)


def table_format(file: Path) -> Literal["text", "parquet", "json lines", "excel"]:
    """What a file's name says that the table in it is written in.

    Raises:
        DataError: it is none of these.
    """
    suffix = format_of(file)
    if suffix in (*_PARQUET, *_EXCEL) and is_packed(file):
        raise DataError(
            f"is a {suffix} that is packed once more", str(file), "Unpack it: it is small by itself."
        )
    if suffix in _PARQUET:
        return "parquet"
    if suffix in _LINES:
        return "json lines"
    if suffix in _EXCEL:
        return "excel"
    if suffix not in _TEXT:
        known = ", ".join(name for name in (*_TEXT, *_PARQUET, *_LINES, *_EXCEL) if name)
        raise DataError(f"{suffix} is no format of tables that dlcli reads", str(file), f"It reads {known}.")
    return "text"


def need_file(file: Path, advice: str = "") -> None:
    """Refuse the name of a file that is not there, with the near names.

    Raises:
        DataError: that is so.
    """
    found = kind_at(file)
    if found == "folder":
        raise DataError("is a folder", str(file), hint("Name a file in it.", advice))
    if found == "device":
        raise DataError("is a pipe or a device, and no file", str(file), "Copy what it gives into a file.")
    if found == "refused":
        raise DataError("may not be looked at by this user", str(file), "Ask for its folder's permissions.")
    if found == "nothing":
        near = near_files(file.name, list_names(file.parent))
        raise DataError("there is no such file", str(file), hint(question(near), advice))
    if not file.stat().st_size:  # also what the kernel shows as files, of which some never end
        raise DataError("is empty", str(file), "Give one row at least.")


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
    """Read a table of any known format; the keywords are for text files, where None is found out, or the usual.

    Raises:
        DataError: there is no such file, it is of no known format, or it is no table.
    """
    need_file(file, "dataset.path names the file.")
    how = table_format(file)
    if how == "parquet":
        return checked(_parquet(file))
    if how == "json lines":
        return checked(read_json_lines(file))
    if how == "excel":
        return checked(_excel(file))
    from dlcli.datasets.tables.delimited import MISSING, read_delimited

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
    from pyarrow import parquet

    from dlcli.datasets.tables.arrow_types import from_columns, is_odd, to_series

    with parquet_errors(file), parquet.ParquetFile(file) as table:
        schema = table.schema_arrow
        refuse_namesakes(schema.names, file)
        # A column at a time: of a large table there is never more than one that pandas does not have yet.
        odd = {field.name: str(field.type) for field in schema if is_odd(field)}
        columns = [
            to_series(table.read([name]).column(0), schema.field(name), file)
            for name in schema.names
            if name not in odd
        ]
    return Source(from_columns(columns), file, odd=odd)


@contextmanager
def parquet_errors(file: Path) -> Iterator[None]:
    """Whatever a damaged Parquet file raises, as an error that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        raise DataError(
            f"is no whole Parquet file: {first_line(error)}", str(file), "Copy it anew."
        ) from error


def _excel(file: Path) -> Source:
    import zipfile

    import pandas as pd

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
                f"unpacks to {amount(size)}, and {amount(free)} of memory are free",
                str(file),
                "Save it as .csv: that takes a tenth of the memory.",
            )
        frame = pd.read_excel(file, engine="openpyxl")
    except DataError:
        raise
    except Exception as error:  # openpyxl fails in as many ways as a file can be damaged
        raise DataError(f"is no whole Excel file: {first_line(error)}", str(file), "Copy it anew.") from error
    for name in frame.columns:
        if frame[name].dtype == object:  # cells of several kinds: words, whatever they are
            frame[name] = frame[name].map(str, na_action="ignore").astype("str")
    frame.columns = [str(name) for name in frame.columns]
    return Source(frame, file, first=2)
