"""Whether runs can be paired for a test: the same data, and the same split or the same test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlcli.runs.folder import OpenedRun
from dlcli.runs.recorded import read_split
from dlcli.tracking.ledger import Ledger


@dataclass(frozen=True)
class Evaluated:
    """A run to compare.

    Attributes:
        opened: the run.
        label: its name in the comparison.
        folders: of the runs that were tested: its folds, or one.
        folds: metrics of each fold.
        n_train: mean number of training and validation rows.
        n_test: mean number of test rows.
    """

    opened: OpenedRun
    label: str
    folders: tuple[Path, ...]
    folds: list[dict[str, float]]
    n_train: float
    n_test: float


def training_rows(runs: Sequence[Evaluated]) -> tuple[str, ...]:
    """Return that single models were trained on other numbers of rows, as the refitted winner of a sweep is."""
    trained = [round(run.n_train) - len(read_split(Ledger.load(run.folders[0])).val) for run in runs]
    if len(runs[0].folds) > 1 or len(set(trained)) == 1:
        return ()
    counts = ", ".join(f"{run.label} on {rows:,} rows" for run, rows in zip(runs, trained, strict=True))
    return (f"They were trained on different rows: {counts}; the test rows are the same.",)


def find_refusal(runs: Sequence[Evaluated]) -> str | None:
    """Return why the runs cannot be paired, or None if they can."""
    tags: list[Mapping[str, str]] = [run.opened.ledger.tags for run in runs]
    for what in ("data", "split"):
        if len({tag.get(f"dlcli.{what}_fingerprint") for tag in tags}) > 1:
            if what == "split" and _have_equal_test_rows(runs):
                continue
            same = "the same rows" if what == "data" else "the same split (cv, its folds and cv.seed)"
            return f"The {what} differs, so there is no test: a paired test needs {same}."
    if len({len(run.folds) for run in runs}) > 1:  # an ensemble of cross-validations has their split
        rows = ", ".join(f"{run.label} on {_tested_on(run)}" for run in runs)
        return f"The test rows differ, so there is no test: {rows}."
    return None


def _tested_on(run: Evaluated) -> str:
    return f"the held-out rows of {len(run.folds)} folds" if len(run.folds) > 1 else "its final test rows"


def _have_equal_test_rows(runs: Sequence[Evaluated]) -> bool:
    """Return whether all are single models with the same test rows, whatever rows they were trained on.

    The refitted winner of a sweep has no validation rows, and the test rows of a plain hold-out.
    """
    if any(len(run.folds) > 1 or len(run.folders) > 1 for run in runs):
        return False
    tests = [np.sort(read_split(Ledger.load(run.folders[0])).test) for run in runs]
    return all(len(rows) > 0 and np.array_equal(rows, tests[0]) for rows in tests)
