"""Metrics of a cross-validation as a function of the number of training rows (`cv=learning_curve`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dlcli.cross_validation.estimation import Fold
from dlcli.cross_validation.fold_summary import Summary, summarize_folds
from dlcli.result import Result
from dlcli.tasks.base import Task


@dataclass(frozen=True)
class SizePoint:
    """The summary of the folds with one share of their training rows.

    Attributes:
        share: Share of the training rows.
        rows: Mean number of a fold's training rows, without validation rows.
        summary: Metrics on held-out rows.
    """

    share: float
    rows: float
    summary: Summary


def size_points(folds: Sequence[Fold], results: Sequence[Result], task: Task) -> list[SizePoint]:
    """Return the points in ascending order of rows; a single point if all folds use all of their rows."""
    points = []
    for share in sorted({fold.share for fold in folds}):
        own = [(fold, result) for fold, result in zip(folds, results, strict=True) if fold.share == share]
        first = min(fold.number for fold, _ in own)
        numbered = [replace(fold, number=fold.number - first) for fold, _ in own]
        rows = float(np.mean([len(fold.split.train) for fold in numbered]))
        points.append(SizePoint(share, rows, summarize_folds(numbered, [result for _, result in own], task)))
    return points


def size_table(points: Sequence[SizePoint]) -> pd.DataFrame:
    """Return one line per size and metric: share, rows, metric, mean, 95 % interval, number of folds."""
    return pd.DataFrame(
        {
            "share": point.share,
            "rows": point.rows,
            "metric": metric,
            "mean": interval.mean,
            "ci95_low": interval.low,
            "ci95_high": interval.high,
            "folds": point.summary.folds,
        }
        for point in points
        for metric, interval in point.summary.intervals.items()
    )


def size_sentence(points: Sequence[SizePoint], metric: str) -> str:
    """Return a sentence such as `accuracy by training rows: 0.71 (12), 0.90 (51), 0.95 (102).`"""
    values = ", ".join(f"{p.summary.intervals[metric].mean:.3g} ({p.rows:,.0f})" for p in points)
    return f"{metric} by training rows: {values}."
