"""Fewer rows and folds than there are, for a trial that only has to touch everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.splits.split import Split


def limit_splits(splits: Sequence[Split], rows: int | None, folds: int | None) -> Sequence[Split]:
    """The first `folds` splits, each part with at most so many `rows`; None leaves all."""
    kept = splits[:folds] if folds else splits
    if not rows:
        return kept
    return [Split(*(thin(part, rows) for part in (one.train, one.val, one.test))) for one in kept]


def thin(rows: np.ndarray, most: int | None) -> np.ndarray:
    """At most so many of the rows, spread evenly: of rows that are sorted by class, some of each."""
    if not most or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
