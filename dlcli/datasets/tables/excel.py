"""Reading a sheet of an Excel file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.tables.source import RawTable, check_unique_names, sheet_advice
from dlcli.errors import DataError, Problem, first_line
from dlcli.formatting import amount, counted
from dlcli.process.memory import free_memory


def read_excel(file: Path, sheet: str | None = None) -> RawTable:
    """Return the cells of a sheet; None takes the first that is not hidden.

    Raises:
        DataError: openpyxl is not installed, the file is damaged or too large, or there is no such sheet.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError("Excel files need openpyxl", str(file), "Install it: pip install openpyxl") from error
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > (free := free_memory()):
            raise DataError(
                f"needs {amount(size)} uncompressed, but only {amount(free)} of memory are free",
                str(file),
                "Save it as .csv, which needs a tenth of the memory.",
            )
        with pd.ExcelFile(file, engine="openpyxl") as book:
            names = [str(name) for name in book.sheet_names]
            if sheet is not None and sheet not in names:
                raise DataError(
                    f"there is no sheet {sheet} in {file.name}",
                    "dataset.sheet",
                    hint(did_you_mean(sheet, names), choices(names)),
                )
            shown = [
                str(name) for name in book.sheet_names if book.book[name].sheet_state == "visible"
            ] or names
            read = sheet if sheet is not None else shown[0]
            others = {name: _first_row(book.book[name]) for name in names if name != read}
            check_unique_names(_first_row(book.book[read]), file)  # pandas would number equal ones
            # Without a type, pandas would turn 007 into 7.
            frame = pd.read_excel(
                book,
                read,
                dtype=object,
                keep_default_na=False,
                na_filter=False,
            )
    except DataError:
        raise
    except Exception as error:  # openpyxl raises various exceptions for damaged files
        raise DataError(
            f"is not a valid Excel file: {first_line(error)}", str(file), "Copy it again."
        ) from error
    if frame.empty and others:
        raise DataError(
            f"has no rows in the sheet {read}",
            str(file),
            hint(
                "Give at least one row below the column names, or name another sheet.",
                sheet_advice(others, []),
            ),
        )
    _check_names(frame, file)
    gaps = _empty_rows(frame)
    frame = frame.drop(index=gaps)
    # pandas reads an empty cell as "", and #DIV/0! and the like as not a number.
    errors = int(frame.map(lambda cell: isinstance(cell, float) and cell != cell).to_numpy().sum())
    arrays = [_column(frame.iloc[:, number].tolist()) for number in range(frame.shape[1])]
    table = pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])
    warnings = []
    if sheet is None and len(names) > 1:
        other = next(name for name in (*shown, *names) if name != shown[0])
        what = "the first" if shown[0] == names[0] else "the first that is not hidden"
        message = f"has {counted(len(names) - 1, 'more sheet')}; {what} is read: {shown[0]}"
        warnings = [Problem(message, str(file), f"Name the one to read: {pasted('dataset.sheet', other)}.")]
    if gaps:
        warnings.append(Problem(f"{counted(len(gaps), 'empty row')} between the rows skipped", str(file)))
    if errors:
        text = f"{counted(errors, 'cell')} with an error such as #DIV/0! read as missing"
        warnings.append(Problem(text, str(file), "Correct the formulas, or leave the cells empty."))
    raw = RawTable.of(
        table,
        file,
        2,
        between=[row - before for before, row in enumerate(gaps)],
        warnings=warnings,
        unnamed=table.column_names[:1] == ["Unnamed: 0"],
        sheets=others,
    )
    return replace(raw, empty=len(gaps))


def _empty_rows(frame: pd.DataFrame) -> list[int]:
    """Return the positions of the rows in which all cells are empty; pandas reads an empty cell as ""."""
    may_be = [row for row, cell in enumerate(frame.iloc[:, 0] if len(frame.columns) else ()) if cell == ""]
    return [row for row in may_be if all(cell == "" for cell in frame.iloc[row])]


def _check_names(frame: pd.DataFrame, file: Path) -> None:
    """Raise an error if the names of columns stand in two rows, the upper one with merged cells.

    Raises:
        DataError: a column has no name, and the cells of the first row are words above numbers.
    """
    unnamed = [name for name in map(str, frame.columns[1:]) if name.startswith("Unnamed: ")]
    if not unnamed or len(frame) < 2:
        return
    first, below = frame.iloc[0].tolist(), frame.iloc[1:]
    words = all(isinstance(cell, str) for cell in first) and any(map(str, first))
    if words and any(isinstance(cell, int | float) for name in frame.columns for cell in below[name]):
        raise DataError(
            f"{counted(len(unnamed), 'column')} without a name: the names seem to stand in two rows, "
            f"{frame.columns[0]!r} above {first[0]!r}",
            f"{file}:1",
            "Write all names in the first row of the sheet, and delete the other one.",
        )


def _first_row(sheet: Any) -> list[str]:
    """Return the cells of a sheet's first row as strings, for messages; none for a sheet without cells."""
    rows = getattr(sheet, "iter_rows", None)  # which a sheet that is a chart does not have
    first = next(rows(max_row=1, values_only=True), ()) if rows is not None else ()
    return [str(cell) for cell in first if cell is not None]


def _hours(duration: timedelta | time | None) -> str | None:
    """Return a duration in hours as Excel shows it, such as 36:15:00; those below a day may be times of day."""
    if duration is None:
        return None
    if isinstance(duration, time):
        duration = datetime.combine(datetime.min, duration) - datetime.min
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _column(cells: Sequence[Any]) -> pa.Array:
    """Return cells of one type as they are, and cells of several types as strings."""
    values = [
        None if cell == "" or cell is None or cell is pd.NaT or cell != cell else cell for cell in cells
    ]
    kinds = {type(value) for value in values} - {type(None)}
    try:
        if kinds <= {int, float} and kinds:
            return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
        if timedelta in kinds and kinds <= {timedelta, time}:
            return pa.array(map(_hours, values), pa.string())
        if len(kinds) == 1:
            return pa.array(values)
    except (pa.ArrowException, OverflowError):
        pass
    return pa.array(map(_as_text, values), pa.string())


def _as_text(value: Any) -> str | None:
    """Return a cell as a string; days without a time of day as Excel shows them, without one."""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return None if value is None else str(value)
