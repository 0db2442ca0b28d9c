"""Combine the results of folds: metrics for the record, and sentences for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from dlcli.cross_validation.estimation import Fold
from dlcli.inference.partial_means import in_a_sentence, noun_of_means
from dlcli.inference.predictions_file import KeptPredictions
from dlcli.inference.saved_model import load_task
from dlcli.result import Result
from dlcli.statistics.conformal import BOUNDS
from dlcli.statistics.interval import UNDEFINED, Components, Interval, corrected_interval, variance_components
from dlcli.tasks.base import Task
from dlcli.tasks.metric import AnyMetric, keywords
from dlcli.tasks.task_metric import TaskMetric

_HELD_OUT = "test/"

# With fewer estimates, the interval extends over 3 to 13 standard errors (Student's t), and the standard deviation is
# itself uncertain.
_FEW = 5


@dataclass(frozen=True)
class Summary:
    """Metrics on held-out rows.

    Attributes:
        intervals: Metric to interval over the folds in which it is defined; a fold's value is the mean over its seeds.
        components: Metric to its variance between folds and between seeds; empty with a single seed.
        folds: Number of splits.
        seeds: Number of training seeds per split.
        defined: Metric to the number of splits in which it is defined.
        pooled: Metric on the held-out rows of all folds together (mean over seeds); empty if it cannot be computed.
        complete: Metric to the number of splits in which it is the mean over all classes, labels or targets.
        noun: What means are over.
    """

    intervals: dict[str, Interval]
    components: dict[str, Components]
    folds: int
    seeds: int
    defined: dict[str, int] = field(default_factory=dict)
    pooled: dict[str, float] = field(default_factory=dict)
    complete: dict[str, int] = field(default_factory=dict)
    noun: str = "classes"

    @property
    def undefined(self) -> list[str]:
        """The metrics that are undefined in some splits."""
        return [name for name in self.intervals if self.defined.get(name, self.folds) < self.folds]

    @property
    def partial(self) -> list[str]:
        """The metrics that are means over some of the classes only in some splits."""
        return [name for name, count in self.complete.items() if count < self.defined.get(name, self.folds)]

    def baselines(self, results: Sequence[Result]) -> dict[str, float]:
        """Return the baselines' metrics on held-out rows, under the names of the means: `cv/accuracy_mean`."""
        found = mean_baselines(results)
        return {
            f"cv/{name}_mean": found[_HELD_OUT + name] for name in self.intervals if _HELD_OUT + name in found
        }

    def trees(self, results: Sequence[Result]) -> dict[str, float]:
        """Return the baseline `trees`' metrics on held-out rows: `trees/cv/accuracy_mean`; empty without it."""
        found = mean_baselines(results)
        names = {name: f"trees/{_HELD_OUT}{name}" for name in self.intervals}
        return {f"trees/cv/{name}_mean": found[own] for name, own in names.items() if own in found}

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
            if name in self.pooled:
                parts["pooled"] = self.pooled[name]
            if name in self.undefined:
                parts["defined_in"] = float(self.defined[name])
            if name in self.partial:
                parts["complete_in"] = float(self.complete[name])
            figures |= {f"cv/{name}_{part}": value for part, value in parts.items() if np.isfinite(value)}
        return figures

    def line(self, metric: str) -> str:
        """Return a summary such as `accuracy 0.963 ± 0.011 (95% CI 0.949 to 0.977, 10 folds)`."""
        interval = self.intervals[metric]
        seeds = f" x {self.seeds} seeds" if self.seeds > 1 else ""
        of = f"{self.defined[metric]} of " if metric in self.undefined else ""
        count = f"{of}{self.folds} folds{seeds}" if self.folds > 1 else f"{of}1 split{seeds}"
        if of and not self.defined[metric]:
            return f"{metric} is undefined in all {self.folds} folds"
        text = f"{metric} {interval.mean:.3f}"
        if np.isfinite(interval.std):
            text += f" ± {interval.std:.3f} (95% CI {interval.low:.3f} to {interval.high:.3f}, {count})"
        return text

    def undefined_sentence(self) -> str | None:
        """Return sentences on metrics that are undefined, or partial means, in some folds, else None."""
        sentences = []
        if groups := _by_count(self.undefined, self.defined):
            parts = [
                f"{in_a_sentence(names)} {'is' if len(names) == 1 else 'are'} defined in {count} of {self.folds} folds"
                for count, names in groups.items()
            ]
            where = "of the other folds" if any(groups) else "of each fold"
            sentences = [
                f"{'; '.join(parts)}: the rows {where} lack a class or a label, have a single value, or "
                "values that it does not take.",
                *(["Means are over the folds that define them."] if any(groups) else []),
            ]
        if groups := _by_count(self.partial, self.complete):
            parts = [
                f"{in_a_sentence(names)} {'is the mean' if len(names) == 1 else 'are means'} over all {self.noun} in "
                f"{count} of {self.folds} folds"
                for count, names in groups.items()
            ]
            sentences.append(
                f"{'; '.join(parts)}; in the other folds, over the {self.noun} that their rows have."
            )
        if sentences and all(
            np.isfinite(self.pooled.get(name, np.nan)) for name in (*self.undefined, *self.partial)
        ):
            sentences.append("Pooled values are on all held-out rows.")
        return " ".join(sentences) or None

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


def _by_count(names: Sequence[str], counts: Mapping[str, int]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(counts[name], []).append(name)
    return groups


def mean_baselines(results: Sequence[Result]) -> dict[str, float]:
    """Return the mean of each baseline metric that all results contain, over those in which it is defined."""
    names = [name for name in results[0].baselines if all(name in result.baselines for result in results)]
    found = {name: np.array([result.baselines[name] for result in results]) for name in names}
    means = {
        name: float(values[~np.isnan(values)].mean())
        for name, values in found.items()
        if not np.isnan(values).all()
    }
    return {name: value for name, value in means.items() if np.isfinite(value)}


def summarize_folds(folds: Sequence[Fold], results: Sequence[Result], task: Task) -> Summary:
    """Return the summary of finished folds. The task supplies the bounds of the metrics."""
    numbers = sorted({fold.number for fold in folds})
    seeds = 1 + max(fold.repeat for fold in folds)
    names = [
        name
        for name in results[0].values
        if name.startswith(_HELD_OUT) and all(name in result.values for result in results)
    ]
    n_test = float(np.mean([len(fold.split.test) for fold in folds]))
    n_train = float(np.mean([len(fold.split.train) + len(fold.split.val) for fold in folds]))
    measures = task.metrics()
    intervals, components, defined, complete = {}, {}, {}, {}
    for name in names:
        table = np.full((len(numbers), seeds), np.nan)
        for fold, result in zip(folds, results, strict=True):
            table[fold.number, fold.repeat] = result.values[name]
        metric = name.removeprefix(_HELD_OUT)
        # Infinite values, such as a diverged loss, are kept; a fold without any value is left out.
        table = table[~np.isnan(table).all(axis=1)]
        defined[metric] = len(table)
        partial = {fold.number for fold, result in zip(folds, results, strict=True) if name in result.over}
        complete[metric] = len(table) - len(partial)
        if len(numbers) == 1:
            # With one split, only the seed varies, so the interval is that of the seed, without a correction for
            # overlapping training sets.
            values, n_train_of, n_test_of = table[:1].ravel(), 1.0, 0.0
            values = values[~np.isnan(values)]
        else:
            values, n_train_of, n_test_of = np.nanmean(table, axis=1), n_train, n_test
        intervals[metric] = corrected_interval(values, n_train_of, n_test_of) if len(values) else UNDEFINED
        if measure := measures.get(metric):
            intervals[metric] = intervals[metric].within(measure.plot_lower_bound, measure.plot_upper_bound)
        elif metric in BOUNDS:
            intervals[metric] = intervals[metric].within(*BOUNDS[metric])
        elif metric == "loss":
            intervals[metric] = intervals[metric].within(getattr(task.criterion, "lower_bound", None), None)
        balanced = table[~np.isnan(table).any(axis=1)]
        if seeds > 1 and len(balanced):
            components[metric] = variance_components(balanced.tolist())
    return Summary(
        intervals, components, len(numbers), seeds, defined, complete=complete, noun=noun_of_means(task)
    )


def pooled_metrics(
    folds: Sequence[Fold], results: Sequence[Result], task: Task, predictions: KeptPredictions
) -> dict[str, float]:
    """Return the metrics on the held-out rows of all folds together, each predicted by its fold's model.

    With several seeds, this is the mean over seeds. A metric that some folds lack, such as `f1_untuned` if no
    threshold could be tuned, is left out. The result is empty if the metrics cannot be computed from the recorded
    predictions: for forecasts, and for user-defined tasks.
    """
    by_seed: dict[int, dict[str, AnyMetric]] = {}
    common: set[str] | None = None
    for fold, result in zip(folds, results, strict=True):
        if not len(fold.split.test):
            continue
        own = load_task(result.run_dir / "model", trust=True)
        # Thresholds may differ between folds; all other facts must be equal.
        fold_task = task if own.tuned() == task.tuned() else own
        inputs = fold_task.metric_inputs_of(predictions.read(result.run_dir))
        if inputs is None:
            return {}
        predicted, y, named = inputs
        measures = fold_task.metrics()
        pooled = by_seed.setdefault(fold.repeat, measures)
        common = set(measures) if common is None else common & set(measures)
        for name, metric in measures.items():
            if name not in pooled:
                continue
            into = pooled[name]
            if isinstance(into, TaskMetric) and isinstance(metric, TaskMetric):
                into.add(*metric.prepared(predicted, y, named))  # with this fold's threshold
                continue
            metric.update(predicted, y, **keywords(metric, named))
            if into is not metric:
                into.merge_state(cast(Any, metric))
    values = [
        {
            name: float(torch.as_tensor(metric.compute()).double().mean())
            for name, metric in measures.items()
            if name in (common or ())
        }
        for measures in by_seed.values()
    ]
    return {name: float(np.mean([one[name] for one in values])) for name in (values[0] if values else {})}
