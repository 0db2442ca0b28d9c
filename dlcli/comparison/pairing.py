"""Check whether runs can be paired for a test: they need the same data, and the same split or test rows."""

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
        label: name of the run in the comparison.
        folders: folders of the evaluated runs: those of the folds, or a single one.
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
    """Return a note if single models were trained on different numbers of rows, such as a sweep's refitted winner."""
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
    """Return whether all runs are single models with the same test rows, possibly with different training rows.

    The refitted winner of a sweep, for example, has the test rows of a plain hold-out and no validation rows.
    """
    if any(len(run.folds) > 1 or len(run.folders) > 1 for run in runs):
        return False
    tests = [np.sort(read_split(Ledger.load(run.folders[0])).test) for run in runs]
    return all(len(rows) > 0 and np.array_equal(rows, tests[0]) for rows in tests)
