"""What is read of a table of new rows, and what a piece of it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.config.suggest import choices, hint
from dlcli.datasets.tables.columns import Kind
from dlcli.datasets.tables.delimited import MISSING
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError, Problem

# Missing columns that are told one by one.
_FEW = 3


@dataclass(frozen=True)
class Wanted:
    """What is read of a table.

    Attributes:
        kinds: the columns that are needed, and what they hold.
        others: whether other columns are read, too.
        keep: columns that are carried along as they are written; None: all.
        missing: what stands for a missing value in text.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    others: bool = False
    keep: Sequence[str] | None = ()
    missing: Sequence[str] = MISSING


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows: as columns, and what is carried along of them; `first` is the number of their first, from 0."""

    source: Source
    kept: pa.Table
    first: int


def nothing_kept(source: Source) -> pa.Table:
    """A table of as many rows, without a column."""
    return pa.Table.from_pandas(pd.DataFrame(index=source.frame.index), preserve_index=False)


def carried(names: Sequence[str], odd: Collection[str], file: Path, wanted: Wanted) -> list[str]:
    """The columns that are carried along; refuses a file that lacks one, or one that is needed.

    Raises:
        DataError: with the near names.
    """
    columns = Source(pd.DataFrame(columns=list(names)), file)
    columns.need(list(wanted.keep or ()), "--keep")  # lists are carried along, too
    columns = replace(
        columns, frame=columns.frame.drop(columns=list(odd)), odd=dict.fromkeys(odd, "lists or the like")
    )
    absent = [name for name in wanted.kinds if name not in columns.frame]
    if len(absent) > _FEW and not set(absent) & set(odd):
        raise DataError(
            f"{len(absent)} columns that the model needs are not there: {', '.join(absent[:8])}"
            f"{', ...' if absent[8:] else ''}",
            str(file),
            hint(choices(names)),
        )
    try:
        columns.need_all({str(file): absent})
    except DataError as error:
        add = "" if wanted.others else "Add the column: its cells may be empty where a value is not known."
        raise DataError([_of_file(problem, file, add) for problem in error.problems]) from error
    return list(names if wanted.keep is None else wanted.keep)


def is_empty(file: Path) -> DataError:
    """The error for a file without a row."""
    return DataError("is empty", str(file), "Give one row at least.")


def _of_file(problem: Problem, file: Path, add: str) -> Problem:
    """What the file lacks, its name said once; a near name says enough of what to do."""
    message = problem.message.removesuffix(f" in {file.name}")
    return replace(
        problem, message=message, hint=problem.hint if "Did you mean" in problem.hint else add or problem.hint
    )
