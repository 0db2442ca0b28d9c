"""Tests of two runs on the same folds or rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from dlcli.comparison.conclusions import ALPHA, difference_in_words, more_folds, more_rows
from dlcli.comparison.pairing import Evaluated
from dlcli.comparison.recorded_loss import recorded_loss
from dlcli.comparison.scale import MetricScale
from dlcli.inference.predictions_file import held_out
from dlcli.runs.folder import OpenedRun
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_config
from dlcli.statistics.mean_ranks import holm
from dlcli.statistics.paired import (
    Difference,
    corrected_paired_t,
    mcnemar,
    paired_bootstrap,
    paired_bootstrap_of,
    signed_rank_p,
)
from dlcli.statistics.power import folds_needed, rows_needed
from dlcli.tracking.digests import WINNER_FILE
from dlcli.tracking.ledger import Ledger

# Metrics that are means over rows. The bootstrap resamples their differences per row, which is fast.
_OF_ROWS = ("accuracy", "mse", "mae")


@dataclass(frozen=True)
class Pair:
    """The test of two runs on the same rows.

    Attributes:
        a: Name of the first run.
        b: Name of the second run.
        difference: Metric of the second run minus that of the first.
        p: P-values by test.
        words: The conclusion as a sentence.
        metric: The metric.
        power: Sentence on the data required to detect a difference of the observed size; empty if it is significant,
            or 0.
        needed: Required number of folds or of test rows; None if no number suffices, or `power` is empty.
    """

    a: str
    b: str
    difference: Difference
    p: dict[str, float]
    words: str
    metric: str = ""
    power: str = ""
    needed: int | None = None


def config_of(run: OpenedRun) -> dict[str, Any]:
    """Return the configuration that a run's metrics belong to; for a sweep, that of its best trial."""
    has_winner = (run.folder / WINNER_FILE).exists() or WINNER_FILE in (run.ledger.digests or {})
    return read_config(run.ledger, WINNER_FILE) if has_winner else run.config


def testable_metrics(runs: Sequence[Evaluated], metric: str, common: Sequence[str]) -> list[str]:
    """Return the metrics that can be tested in place of `metric`."""
    if len(runs[0].folds) > 1:
        complete = (n for n in common if all(math.isfinite(fold[n]) for run in runs for fold in run.folds))
        return [name for name in complete if name not in ("loss", metric)]
    return [
        name
        for name in _OF_ROWS
        if name != metric and name in common and all(metric_of_rows(run, name) is not None for run in runs)
    ]


def compared_pair(a: Evaluated, b: Evaluated, metric: str, scale: MetricScale, pairs: int = 1) -> Pair | None:
    """Test the difference of two runs, one of `pairs` that are tested.

    Return None if fewer than two folds have the metric, or if a hold-out's metric cannot be computed from predictions.
    """
    if len(a.folds) > 1:
        x, y = np.array([[fold[metric] for fold in run.folds] for run in (a, b)])
        there = ~(np.isnan(x) | np.isnan(y))
        if (count := int(there.sum())) < 2:
            return None
        x, y = x[there], y[there]
        difference = corrected_paired_t(x, y, a.n_train, a.n_test)
        if scale.is_share:  # a difference of shares lies between -1 and 1
            low, high = max(difference.low, -1.0), min(difference.high, 1.0)
            difference = replace(difference, low=low, high=high)
        where = (
            "on these folds" if there.all() else f"on the {count} of {len(there)} folds in which both have it"
        )
        words = difference_in_words(a.label, b.label, metric, scale, difference, difference.p, where)
        tests = {difference.test: difference.p, "Wilcoxon signed-rank": signed_rank_p(x, y)}
        needed, said = None, ""
        if difference.p >= ALPHA / pairs and difference.mean:
            needed = folds_needed(y - x, a.n_test / a.n_train, ALPHA / pairs)
            said = more_folds(needed, count, config_of(a.opened).get("cv", {}))
        return Pair(a.label, b.label, difference, tests, words, metric, said, needed)
    p: dict[str, float] = {}
    with model_errors(a.opened.folder), model_errors(b.opened.folder):
        rows_a, rows_b = metric_of_rows(a, metric), metric_of_rows(b, metric)
        if rows_a is None or rows_b is None:
            found = _of_all_rows(a, b, metric)
        else:
            found = paired_bootstrap(rows_a, rows_b)
            if metric == "accuracy" and len(a.folders) == len(b.folders) == 1:
                p["McNemar"] = mcnemar(rows_a, rows_b)
    if found is None:
        return None
    p[found.test] = found.p
    words = difference_in_words(
        a.label, b.label, metric, scale, found, next(iter(p.values())), "on these rows"
    )
    needed, said = None, ""
    if next(iter(p.values())) >= ALPHA / pairs and found.mean:
        rows = round(a.n_test)
        needed = rows_needed(found.mean, found.low, found.high, rows, ALPHA / pairs)
        said = more_rows(needed, rows)
    return Pair(a.label, b.label, found, p | _over_seeds(a, b, metric), words, metric, said, needed)


def _over_seeds(a: Evaluated, b: Evaluated, metric: str) -> dict[str, float]:
    """Return the p-value of a t-test over the training seeds of two hold-outs, which are paired if they are equal."""
    ledgers = [[Ledger.load(folder) for folder in run.folders] for run in (a, b)]
    x, y = ([ledger.metrics.get(f"test/{metric}", math.nan) for ledger in own] for own in ledgers)
    if min(len(x), len(y)) < 2 or len({*x, *y}) < 3:
        return {}
    seeds = [[ledger.tags.get("dlcli.seed") for ledger in own] for own in ledgers]
    if seeds[0] == seeds[1]:
        return {f"paired t-test over {len(x)} seeds": float(stats.ttest_rel(x, y).pvalue)}
    return {"Welch's t-test over seeds": float(stats.ttest_ind(x, y, equal_var=False).pvalue)}


def _of_all_rows(a: Evaluated, b: Evaluated, metric: str) -> Difference | None:
    """Return the bootstrap of a metric that is not a mean over rows, averaged over training seeds."""
    # Imported late, because it loads torch, which folds do not need.
    from dlcli.inference.recorded_predictions import figure_of_rows

    figures = [
        [
            figure_of_rows(folder, name) if factor == 1 else None
            for folder, name, factor in _named(run, metric)
        ]
        for run in (a, b)
    ]
    of_a, of_b = ([figure for figure in several if figure is not None] for several in figures)
    if len(of_a) < len(a.folders) or len(of_b) < len(b.folders):
        return None
    return paired_bootstrap_of(
        lambda rows: float(np.mean([figure(rows) for figure in of_a])),
        lambda rows: float(np.mean([figure(rows) for figure in of_b])),
        round(a.n_test),
    )


def metric_of_rows(run: Evaluated, metric: str) -> np.ndarray | None:
    """Return the metric of each test row, sorted by row and averaged over training seeds, `(N,)`.

    None if the metric is not a mean over rows of a single target.
    """
    seeds = []
    for folder, name, factor in _named(run, metric):
        if name not in _OF_ROWS:
            return None
        table = held_out(folder)
        if not {"prediction", "target"} <= set(table.columns):
            return None
        if name == "accuracy":
            seeds.append((table["prediction"] == table["target"]).to_numpy(dtype=float))
        else:
            errors = (table["prediction"] - table["target"]).to_numpy(dtype=float)
            seeds.append(factor * (errors**2 if name == "mse" else np.abs(errors)))
    return np.mean(seeds, axis=0)


def _named(run: Evaluated, metric: str) -> list[tuple[Path, str, float]]:
    """Return each folder with the metric that its predictions give, and a factor; 0 for other losses."""
    if metric != "loss":
        return [(folder, metric, 1.0) for folder in run.folders]
    config = config_of(run.opened)
    return [(folder, *(recorded_loss(folder, config) or ("", 0.0))) for folder in run.folders]


def holm_corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with Holm's correction for multiple comparisons."""
    corrected = []
    adjusted = holm([next(iter(pair.p.values())) for pair in pairs])
    for pair, p in zip(pairs, adjusted, strict=True):
        verdict = "distinguishable" if p < ALPHA else "not distinguishable"
        words = f"{pair.words.rpartition(': ')[0]}: {verdict} among these pairs (Holm p = {p:.2g})"
        corrected.append(replace(pair, p={**pair.p, "Holm": p}, words=words))
    return corrected
