"""`read_table`: a file, whatever its format, as rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.packed import format_of
from dlcli.datasets.tables.source import Source, checked
from dlcli.errors import DataError, first_line

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
    if file.is_dir():
        raise DataError("is a folder", str(file), hint("Name a file in it.", advice))
    if not file.is_file():
        there = [other.name for other in file.parent.iterdir()] if file.parent.is_dir() else []
        raise DataError(
            "there is no such file", str(file), hint(question(near_files(file.name, there)), advice)
        )


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
    import pyarrow as pa
    from pyarrow import parquet

    from dlcli.datasets.tables.plain import from_columns, is_odd, to_series

    try:
        with parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            # A column at a time: of a large table there is never more than one that pandas does not have yet.
            odd = {field.name: str(field.type) for field in schema if is_odd(field)}
            columns = [
                to_series(table.read([name]).column(0), schema.field(name), file)
                for name in dict.fromkeys(schema.names)
                if name not in odd
            ]
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"is no whole Parquet file: {first_line(error)}", str(file), "Copy it anew."
        ) from error
    return Source(from_columns(columns), file, odd=odd)


def _excel(file: Path) -> Source:
    import pandas as pd

    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(
            "Excel files need openpyxl", str(file), "Install it: pip install 'dlcli[excel]'"
        ) from error
    try:
        frame = pd.read_excel(file, engine="openpyxl")
    except Exception as error:  # openpyxl fails in as many ways as a file can be damaged
        raise DataError(f"is no whole Excel file: {first_line(error)}", str(file), "Copy it anew.") from error
    for name in frame.columns:
        if frame[name].dtype == object:  # cells of several kinds: words, whatever they are
            frame[name] = frame[name].map(str, na_action="ignore").astype("str")
    frame.columns = [str(name) for name in frame.columns]
    return Source(frame, file, first=2)
