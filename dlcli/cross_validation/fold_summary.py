"""Combine the results of folds: metrics for the record, and sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcli.cross_validation.estimation import Fold
from dlcli.result import Result
from dlcli.statistics.interval import Components, Interval, corrected_interval, variance_components
from dlcli.tasks.base import Task

_HELD_OUT = "test/"

# With fewer estimates, the interval spans 3 to 13 standard errors (Student's t), and the standard deviation itself is
# uncertain.
_FEW = 5


@dataclass(frozen=True)
class Summary:
    """Metrics on held-out rows.

    Attributes:
        intervals: Metric to interval over folds; a fold's value is the mean over its seeds.
        components: Metric to the variance between folds and between seeds; empty with a single seed.
        folds: Number of splits.
        seeds: Number of training seeds per split.
    """

    intervals: dict[str, Interval]
    components: dict[str, Components]
    folds: int
    seeds: int

    def baselines(self, results: Sequence[Result]) -> dict[str, float]:
        """Return the baselines' metrics on held-out rows, under the names of the means: `cv/accuracy_mean`."""
        found = mean_baselines(results)
        return {
            f"cv/{name}_mean": found[_HELD_OUT + name] for name in self.intervals if _HELD_OUT + name in found
        }

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics `cv/accuracy_mean`, `_std`, `_se`, `_ci95_low`, `_ci95_high` and so on, if defined."""
        figures: dict[str, float] = {}
        for name, interval in self.intervals.items():
            parts = {
                "mean": interval.mean,
                "std": interval.std,
                "se": interval.se,
                "ci95_low": interval.low,
                "ci95_high": interval.high,
            }
            if name in self.components:
                parts["std_of_folds"] = self.components[name].folds ** 0.5
                parts["std_of_seeds"] = self.components[name].seeds ** 0.5
            figures |= {f"cv/{name}_{part}": value for part, value in parts.items() if np.isfinite(value)}
        return figures

    def line(self, metric: str) -> str:
        """Return a summary such as `accuracy 0.963 +- 0.011 (95% CI 0.949 to 0.977, 10 folds)`."""
        interval = self.intervals[metric]
        seeds = f" x {self.seeds} seeds" if self.seeds > 1 else ""
        count = f"{self.folds} folds{seeds}" if self.folds > 1 else f"1 split{seeds}"
        text = f"{metric} {interval.mean:.3f}"
        if np.isfinite(interval.std):
            text += f" +- {interval.std:.3f} (95% CI {interval.low:.3f} to {interval.high:.3f}, {count})"
        return text

    def caution(self) -> str | None:
        """Return a warning if the interval is based on few estimates, else None (also if there is no interval)."""
        count, what = (self.folds, "folds") if self.folds > 1 else (self.seeds, "seeds")
        if not 1 < count < _FEW:
            return None
        return (
            f"An interval from {count} {what} is wide and itself uncertain. "
            f"Use {_FEW} or more {what} for a reliable one."
        )

    def sources(self, metric: str) -> str | None:
        """Return a sentence with the shares of folds and seeds in the variance; None with a single seed."""
        if metric not in self.components:
            return None
        parts = self.components[metric]
        total = parts.folds + parts.seeds
        if total == 0:
            return f"{metric} does not vary over folds and seeds."
        return (
            f"Of the variance of {metric}, {parts.folds / total:.0%} is between folds and {parts.seeds / total:.0%} "
            "between training seeds."
        )


def mean_baselines(results: Sequence[Result]) -> dict[str, float]:
    """Return the mean of each baseline metric that all results contain, under the same name."""
    names = [name for name in results[0].baselines if all(name in result.baselines for result in results)]
    found = {name: float(np.mean([result.baselines[name] for result in results])) for name in names}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def summarize_folds(folds: Sequence[Fold], results: Sequence[Result], task: Task) -> Summary:
    """Return the summary of finished folds. The task supplies the bounds of the metrics."""
    numbers = sorted({fold.number for fold in folds})
    seeds = 1 + max(fold.repeat for fold in folds)
    names = [
        name
        for name in results[0].metrics
        if name.startswith(_HELD_OUT) and all(name in result.metrics for result in results)
    ]
    n_test = float(np.mean([len(fold.split.test) for fold in folds]))
    n_train = float(np.mean([len(fold.split.train) + len(fold.split.val) for fold in folds]))
    measures = task.metrics()
    intervals, components = {}, {}
    for name in names:
        table = np.full((len(numbers), seeds), np.nan)
        for fold, result in zip(folds, results, strict=True):
            table[fold.number, fold.repeat] = result.metrics[name]
        metric = name.removeprefix(_HELD_OUT)
        if len(numbers) == 1:
            # With one split, only the seed varies, so the interval is that of the seed, without a correction for
            # overlapping training sets.
            intervals[metric] = corrected_interval(table[0], n_train=1, n_test=0)
        else:
            intervals[metric] = corrected_interval(table.mean(axis=1), n_train, n_test)
        if measure := measures.get(metric):
            intervals[metric] = intervals[metric].within(measure.plot_lower_bound, measure.plot_upper_bound)
        elif metric == "loss":
            intervals[metric] = intervals[metric].within(getattr(task.criterion, "lower_bound", None), None)
        if seeds > 1:
            components[metric] = variance_components(table.tolist())
    return Summary(intervals, components, len(numbers), seeds)
