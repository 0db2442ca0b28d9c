"""Limiting the number of rows and folds, for a quick trial of a complete run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.splits.split import Split


def limit_splits(splits: Sequence[Split], rows: int | None, folds: int | None) -> Sequence[Split]:
    """Return the first `folds` splits with at most `rows` rows in each part; None means no limit."""
    kept = splits[:folds] if folds else splits
    if not rows:
        return kept
    return [Split(*(thin(part, rows) for part in (split.train, split.val, split.test))) for split in kept]


def thin(rows: np.ndarray, most: int | None) -> np.ndarray:
    """Return at most `most` of the rows, evenly spaced, so that rows sorted by class keep some of each class."""
    if not most or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
