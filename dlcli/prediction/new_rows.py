"""`NewRows`: some rows of a file, and the columns that identify them in the output."""

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
    """Rows of a file in the form that a saved model accepts; `labels` has one line per line of their predictions."""

    file: Path
    rows: Any
    labels: pa.Table


def labels_of(files: Sequence[Path], file: Path, **columns: Any) -> pa.Table:
    """Return a table of the columns that identify rows, preceded by the file's name if there are several files."""
    table = pa.table(columns)
    if len(files) < 2:
        return table
    return table.add_column(0, "file", pa.array([str(file)] * len(table), pa.string()))


@contextmanager
def placed(file: Path) -> Iterator[None]:
    """Replace the place "new data" in a preprocessing's errors by the file's name."""
    try:
        yield
    except DataError as error:
        problems = [
            replace(problem, where=problem.where.replace("new data", str(file), 1) or str(file))
            for problem in error.problems
        ]
        raise DataError(problems) from error
