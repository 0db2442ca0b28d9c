"""Selection of the columns to read from a table of new rows, and the pieces that it is read in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.config.suggest import choices, hint, same_names
from dlcli.datasets.tables.source import RawTable, Source, sheet_advice
from dlcli.errors import DataError, Problem

# Maximum number of missing columns that are reported one by one.
_FEW = 3


@dataclass(frozen=True)
class ColumnSelection:
    """Selection of the columns to read from a table.

    Attributes:
        names: required columns.
        others: whether to read other columns too.
        keep: columns that are kept in their original form for the output; None keeps all.
    """

    names: Sequence[str] = ()
    others: bool = False
    keep: Sequence[str] | None = ()


# Number of text lines or rows per piece, a multiple of the batch size of predictions.
PIECE = 16 * 512

# Bytes of a piece of more rows.
_LARGE = 1 << 24


def rows_of_piece(rows: int | None, size: float) -> int | None:
    """Return the number of rows of a piece by the mean size of a row in bytes: at most `rows`, and not more than
    `PIECE` if rows are large.
    """
    if rows is None or rows <= PIECE:
        return rows
    return max(PIECE, min(rows, int(_LARGE / max(1.0, size))) // PIECE * PIECE)


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a table.

    Attributes:
        raw: the cells of the columns that are read.
        kept: the kept columns of the rows.
        first: number of the first row, from 0.
    """

    raw: RawTable
    kept: pa.Table
    first: int


def columns_to_keep(
    names: Sequence[str],
    unsupported: Collection[str],
    file: Path,
    selection: ColumnSelection,
    sheets: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Return the columns to keep, after checking that the file has them and all required columns.

    Args:
        names: columns of the file.
        unsupported: those of types that cannot be read.
        file: the file.
        selection: which columns are required, and which are kept.
        sheets: the other sheets of an Excel file, each with the cells of its first row.

    Raises:
        DataError: a column is missing; the hint suggests similar names.
    """
    columns = Source(pd.DataFrame(columns=list(names)), file, sheets=sheets or {})
    columns.require(list(selection.keep or ()), "--keep")  # columns of lists can be kept too
    columns = replace(
        columns,
        frame=columns.frame.drop(columns=list(unsupported)),
        unsupported=dict.fromkeys(unsupported, "lists or the like"),
    )
    require_of_model(columns, selection.names, can_be_empty=not selection.others)
    return list(names if selection.keep is None else selection.keep)


def require_of_model(source: Source, needed: Sequence[str], *, can_be_empty: bool = True) -> None:
    """Raise an error unless a file of new rows has the columns that a model needs.

    Names that differ in case, blanks and punctuation are not taken for each other; the error says what to rename.

    Args:
        source: the file, with its columns.
        needed: the names of the columns.
        can_be_empty: whether the cells of a column may be empty, which the hint says.
    """
    file, names = source.file, [*source.frame.columns, *source.unsupported]
    absent = [name for name in needed if name not in source.frame]
    if len(absent) > _FEW and not set(absent) & set(source.unsupported):
        raise DataError(
            f"{len(absent)} columns that the model needs are missing: {', '.join(absent[:8])}"
            f"{', ...' if absent[8:] else ''}",
            f"{file}, column {absent[0]}",
            hint(_to_rename(absent, names), sheet_advice(source.sheets, absent)) or choices(names),
        )
    problems: list[Problem] = []
    for name in absent:
        try:
            source.require([name], str(file))
        except DataError as error:
            problems += error.problems
            if name in source.unsupported:
                continue
            renamed, sheet = _to_rename([name], names), sheet_advice(source.sheets, [name])
            add = "Add the column; its cells may be empty if a value is unknown." if can_be_empty else ""
            known = problems[-1].hint
            said = hint(renamed, sheet) or (known if "Did you mean" in known else add or known)
            message = problems[-1].message.removesuffix(f" in {file.name}")
            problems[-1] = replace(problems[-1], message=message, hint=said)
    if problems:
        raise DataError(problems)


def _to_rename(absent: Sequence[str], names: Sequence[str]) -> str:
    """Return which columns have the missing names but for case, blanks and punctuation; empty if there are none."""
    pairs = [(name, same[0]) for name in absent if (same := same_names(name, names))]
    shown = ", ".join(f"{there!r} to {name!r}" for name, there in pairs[:_FEW])
    more = f", and {len(pairs) - _FEW} more alike" if len(pairs) > _FEW else ""
    return f"Rename {shown}{more}: names must be those of the training data." if pairs else ""


def empty_file(file: Path) -> DataError:
    """Return the error for a file without rows."""
    return DataError("is empty", str(file), "Give at least one row.")
