"""Intervals of the metrics of compared runs, and their training seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dlcli.comparison.paired_runs import metric_of_rows
from dlcli.comparison.pairing import Evaluated
from dlcli.comparison.scale import MetricScale
from dlcli.formatting import number, with_error
from dlcli.runs.model_errors import model_errors
from dlcli.statistics.interval import corrected_interval
from dlcli.statistics.of_rows import mean_interval, wilson_interval
from dlcli.tracking.ledger import Ledger

Ends = tuple[float, float]


def ends_of(run: Evaluated, metric: str, scale: MetricScale) -> Ends | None:
    """Return the 95 % interval of a run's metric: over its folds, or over the test rows of a hold-out.

    The former is corrected for overlapping training rows. The latter is available for means over rows, and covers the
    sampling of the rows, not the training; None for other metrics.
    """
    if metric not in run.folds[0]:
        return None
    if len(run.folds) > 1:
        values = np.array([fold[metric] for fold in run.folds])
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return None
        found = corrected_interval(values, run.n_train, run.n_test).within(scale.low, scale.high)
        return found.low, found.high
    with model_errors(run.opened.folder):
        rows = metric_of_rows(run, metric)
    if rows is None or len(rows) < 2 or not math.isfinite(rows.sum()):
        return None
    if metric == "accuracy" and set(np.unique(rows)) <= {0.0, 1.0}:
        return wilson_interval(int(rows.sum()), len(rows))
    low, high = mean_interval(rows)
    return max(low, -math.inf if scale.low is None else scale.low), min(
        high, math.inf if scale.high is None else scale.high
    )


def told_of_seeds(runs: Sequence[Evaluated]) -> tuple[str, ...]:
    """Return a note if runs have several training seeds, whose mean is compared."""
    seeds = [len(run.folders) // len(run.folds) for run in runs]
    if max(seeds) == 1:
        return ()
    if len(set(seeds)) == 1:
        return (f"Figures are means over {seeds[0]} training seeds of each run.",)
    counts = ", ".join(f"{run.label} {count}" for run, count in zip(runs, seeds, strict=True))
    return (f"The numbers of training seeds differ: {counts}. Their means are compared.",)


def told_of_folds(runs: Sequence[Evaluated]) -> tuple[str, ...]:
    """Return notes on metrics that some folds, or the test rows, define for some classes only, or not at all."""
    undefined: dict[str, dict[str, list[str]]] = {}
    partial: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        means_over = [Ledger.load(folder).result.get("over", {}) for folder in run.folders]
        for name in run.folds[0]:
            there, total = sum(not math.isnan(fold.get(name, math.nan)) for fold in run.folds), len(run.folds)
            if there < total and len(runs[0].folds) > 1:
                counts = f"defined in {there} of {total} folds"
                undefined.setdefault(counts, {}).setdefault(name, []).append(run.label)
            if few := sum(f"test/{name}" in over for over in means_over):
                of = f" in {few} of {len(means_over)} folds" if len(means_over) > 1 else ""
                partial.setdefault(f"over some classes only{of}", {}).setdefault(name, []).append(run.label)
    return (
        *_note(undefined, len(runs), "Their figures are means over these folds."),
        *_note(partial, len(runs), "The test rows there lack the others."),
    )


def _note(found: Mapping[str, Mapping[str, Sequence[str]]], runs: int, end: str) -> list[str]:
    """Return a note, as a list of at most one item; `found` maps what is said to metrics and the runs concerned."""
    parts = []
    for counts, names in found.items():
        by_runs: dict[tuple[str, ...], list[str]] = {}
        for name, labels in names.items():
            by_runs.setdefault(tuple(labels), []).append(name)
        for whom, several in by_runs.items():
            whose = "" if len(whom) == runs else f" of {' and '.join(whom)}"
            parts.append(f"{', '.join(several)}{whose}: {counts}")
    return [f"{'; '.join(parts)}. {end}"] if parts else []


def figure_with_interval(value: float | None, ends: Ends | None) -> str:
    """Return a figure as `0.942 ± 0.028`, or `0.98 (0.97 to 0.99)` if the interval is asymmetric; `-` for none."""
    if value is None:
        return "-"
    if ends is None:
        return number(value)
    below, above = value - ends[0], ends[1] - value
    if abs(below - above) <= 0.05 * max(below, above):
        mean, half = with_error(value, max(below, above))
        return f"{mean} ± {half}"
    return f"{number(value)} ({number(ends[0])} to {number(ends[1])})"
