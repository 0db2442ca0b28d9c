"""`NewRows`: some rows out of a file, and what tells them apart in the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dlcli.errors import DataError


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of a file, as a saved model takes them; `labels` has a line for each line of their predictions."""

    file: Path
    rows: Any
    labels: pa.Table


def labels_of(files: Sequence[Path], file: Path, **columns: Any) -> pa.Table:
    """Columns that tell rows apart, behind the file's name where there are several."""
    table = pa.table(columns)
    if len(files) < 2:
        return table
    return table.add_column(0, "file", pa.array([str(file)] * len(table), pa.string()))


@contextmanager
def placed(file: Path) -> Iterator[None]:
    """Let what a preprocessing says of "new data" name the file."""
    try:
        yield
    except DataError as error:
        problems = [
            replace(problem, where=problem.where.replace("new data", str(file), 1) or str(file))
            for problem in error.problems
        ]
        raise DataError(problems) from error
