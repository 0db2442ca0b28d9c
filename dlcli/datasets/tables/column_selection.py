"""Selection of the columns to read from a table of new rows, and the pieces that it is read in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.config.suggest import choices, hint
from dlcli.datasets.tables.source import RawTable, Source
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
    names: Sequence[str], unsupported: Collection[str], file: Path, selection: ColumnSelection
) -> list[str]:
    """Return the columns to keep, after checking that the file has them and all required columns.

    Raises:
        DataError: a column is missing; the hint suggests similar names.
    """
    columns = Source(pd.DataFrame(columns=list(names)), file)
    columns.require(list(selection.keep or ()), "--keep")  # columns of lists can be kept too
    columns = replace(
        columns,
        frame=columns.frame.drop(columns=list(unsupported)),
        unsupported=dict.fromkeys(unsupported, "lists or the like"),
    )
    absent = [name for name in selection.names if name not in columns.frame]
    if len(absent) > _FEW and not set(absent) & set(unsupported):
        raise DataError(
            f"{len(absent)} columns that the model needs are missing: {', '.join(absent[:8])}"
            f"{', ...' if absent[8:] else ''}",
            str(file),
            hint(choices(names)),
        )
    try:
        columns.require_all({str(file): absent})
    except DataError as error:
        add = "" if selection.others else "Add the column; its cells may be empty if a value is unknown."
        raise DataError([_for_file(problem, file, add) for problem in error.problems]) from error
    return list(names if selection.keep is None else selection.keep)


def empty_file(file: Path) -> DataError:
    """Return the error for a file without rows."""
    return DataError("is empty", str(file), "Give at least one row.")


def _for_file(problem: Problem, file: Path, add: str) -> Problem:
    """Return the problem without repeating the file's name, with the hint `add` unless it suggests a similar name."""
    message = problem.message.removesuffix(f" in {file.name}")
    return replace(
        problem, message=message, hint=problem.hint if "Did you mean" in problem.hint else add or problem.hint
    )
