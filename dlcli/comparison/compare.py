"""Runs side by side: what differs in them, what each is worth, and whether a difference is more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.config.next_command import resume_command
from dlcli.errors import InputError
from dlcli.runs.folder import OpenedRun, open_run
from dlcli.runs.recorded import read_config, read_split
from dlcli.statistics.paired import (
    Difference,
    corrected_paired_t,
    mcnemar,
    paired_bootstrap,
    paired_bootstrap_of,
    wilcoxon,
)
from dlcli.statistics.ranks import Ranking, friedman, holm
from dlcli.tracking.digests import WINNER_FILE
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_inputs import flatten

LOWER_IS_BETTER = frozenset(
    {
        "loss",
        "mse",
        "rmse",
        "mae",
        "mape",
        "mase",
        "pinball",
        "log_loss",
        "calibration_error",
        "brier",
        "hamming_distance",
    }
)
# Figures of which neither more nor less is better by itself.
_NEITHER = frozenset({"coverage", "interval_width"})
# Shares, whose differences people give in points of a hundred.
_SHARES = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "auroc",
        "average_precision",
        "specificity",
        "exact_match",
    }
)
# Figures that are means over rows: for these the bootstrap has but to draw differences, in no time.
_OF_ROWS = ("accuracy", "mse", "mae")
_HELD_OUT = "test/"
_NO_DIFFERENCE = frozenset({"runs_dir", "run_name", "experiment_name"})
_ALPHA = 0.05


@dataclass(frozen=True)
class Pair:
    """Two runs on the same rows. `p` are p-values by test, `words` what they mean."""

    a: str
    b: str
    difference: Difference
    p: dict[str, float]
    words: str


@dataclass(frozen=True)
class Comparison:
    """What `dlcli compare` found.

    Attributes:
        runs: names.
        settings: dotted key to each run's value, where they differ.
        figures: metric to each run's figure on held-out rows (a mean over folds), None where a run lacks it.
        metric: what the tests are about.
        pairs: tested pairs; empty where rows do not pair.
        ranking: of three runs or more.
        refusal: why rows do not pair, if so.
    """

    runs: tuple[str, ...]
    settings: dict[str, tuple[str, ...]]
    figures: dict[str, tuple[float | None, ...]]
    metric: str
    pairs: tuple[Pair, ...]
    ranking: Ranking | None
    refusal: str | None

    def to_json(self) -> dict[str, Any]:
        """The `--json` document."""
        return {"status": "FINISHED", **asdict(self)}


@dataclass(frozen=True)
class _Judged:
    """A run as it is compared: its figures by metric and fold, the rows behind them, and a folder a training."""

    opened: OpenedRun
    label: str
    folders: tuple[Path, ...]
    folds: list[dict[str, float]]
    n_train: float
    n_test: float


def compare(refs: Sequence[str], runs_dir: Path, metric: str | None = None) -> Comparison:
    """Compare two runs or more.

    Raises:
        InputError: fewer than two, one without figures on held-out rows, or a metric that no run has.
    """
    if len(refs) < 2:
        raise InputError(
            "one run alone cannot be compared", "RUN", "Name two or more: dlcli compare RUN_A RUN_B"
        )
    opened = [open_run(ref, runs_dir) for ref in refs]
    runs = [_judged(run, label) for run, label in zip(opened, _labels(opened), strict=True)]
    metric = metric and metric.removeprefix(_HELD_OUT)
    names = dict.fromkeys(name for run in runs for name in run.folds[0])
    common = [name for name in names if all(name in run.folds[0] for run in runs)]
    metric = metric or next((name for name in common if name != "loss"), next(iter(common), ""))
    if metric not in common:
        hint = f"All of them have: {', '.join(common)}." if common else "Choose runs of one task."
        raise InputError(
            f"not every run has {metric or 'a common metric'} on held-out rows", "--metric", hint
        )
    figures = {
        name: tuple(
            float(np.mean([fold[name] for fold in run.folds])) if name in run.folds[0] else None
            for run in runs
        )
        for name in names
    }
    refusal = _refusal(runs)
    found = [] if refusal else [_pair(a, b, metric) for a, b in itertools.combinations(runs, 2)]
    pairs = [pair for pair in found if pair is not None]
    if not refusal and len(pairs) < len(found):
        refusal, pairs = _no_rows(runs, metric, common), []
    ranking = None
    if pairs and len(runs) > 2:
        pairs = _corrected(pairs)
        if len(runs[0].folds) > 1:
            table = np.array([[fold[metric] for fold in run.folds] for run in runs]).T
            ranking = friedman(table, higher_is_better=metric not in LOWER_IS_BETTER)
    labels = tuple(run.label for run in runs)
    return Comparison(labels, _settings(opened), figures, metric, tuple(pairs), ranking, refusal)


def _labels(opened: Sequence[OpenedRun]) -> list[str]:
    names = [run.ledger.run_name for run in opened]
    return [
        name if names.count(name) == 1 else f"{name} ({run.ledger.run_id[:8]})"
        for name, run in zip(names, opened, strict=True)
    ]


def _judged(run: OpenedRun, label: str) -> _Judged:
    """Figures of each fold, a fold's seeds averaged; a hold-out is one fold."""
    folders = [run.ledger.sibling(run_id) for run_id in run.ledger.result.get("folds", ())] or [run.folder]
    by_fold: dict[int, list[dict[str, float]]] = {}
    splits = []
    for folder in folders:
        ledger = Ledger.load(folder)
        figures = {
            name.removeprefix(_HELD_OUT): value
            for name, value in ledger.metrics.items()
            if name.startswith(_HELD_OUT)
        }
        if ledger.status != "FINISHED" or not figures:
            raise InputError(
                f"{label} has no figures on held-out rows ({run.ledger.status})",
                str(run.folder),
                f"Finish it first: {resume_command(run.ledger)}",
            )
        by_fold.setdefault(int(ledger.tags.get("dlcli.fold", 0)), []).append(figures)
        splits.append(read_split(ledger))
    folds = [
        {name: float(np.mean([seed[name] for seed in by_fold[number]])) for name in by_fold[number][0]}
        for number in sorted(by_fold)
    ]
    n_train = float(np.mean([len(split.train) + len(split.val) for split in splits]))
    n_test = float(np.mean([len(split.test) for split in splits]))
    return _Judged(run, label, tuple(folders), folds, n_train, n_test)


def _settings(opened: Sequence[OpenedRun]) -> dict[str, tuple[str, ...]]:
    flat = [dict(flatten(_config(run))) for run in opened]
    keys = dict.fromkeys(key for config in flat for key in config if key not in _NO_DIFFERENCE)
    values = {key: tuple(config.get(key, "-") for config in flat) for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def _config(run: OpenedRun) -> dict[str, Any]:
    """The configuration behind a run's figures: a sweep's are those of its winner."""
    has_winner = (run.folder / WINNER_FILE).exists() or WINNER_FILE in (run.ledger.digests or {})
    return read_config(run.ledger, WINNER_FILE) if has_winner else run.config


def _refusal(runs: Sequence[_Judged]) -> str | None:
    """Why the runs' figures do not belong together in pairs."""
    tags: list[Mapping[str, str]] = [run.opened.ledger.tags for run in runs]
    for what in ("data", "split"):
        if len({tag.get(f"dlcli.{what}_fingerprint") for tag in tags}) > 1:
            same = "the same rows" if what == "data" else "the same split (cv, its folds and cv.seed)"
            return f"The {what} differs: figures pair only on {same}. Side by side they are no test."
    return None


def _no_rows(runs: Sequence[_Judged], metric: str, common: Sequence[str]) -> str:
    """That a metric of a single hold-out cannot be tested, and what can be done."""
    others = [
        name
        for name in _OF_ROWS
        if name != metric and name in common and all(_rows(run, name) is not None for run in runs)
    ]
    instead = f"Compare by --metric {others[0]}, or train" if others else "Train"
    return (
        f"{metric} of a single hold-out cannot be worked out again from its predictions, so there is no test. "
        f"{instead} with folds: cv=kfold."
    )


def _pair(a: _Judged, b: _Judged, metric: str) -> Pair | None:
    """The test of two runs; None where a single hold-out's predictions do not say what is asked."""
    if len(a.folds) > 1:
        x, y = ([fold[metric] for fold in run.folds] for run in (a, b))
        difference = corrected_paired_t(x, y, a.n_train, a.n_test)
        words = _words(a.label, b.label, metric, difference, difference.p, "on these folds")
        tests = {difference.test: difference.p, "Wilcoxon signed-rank": wilcoxon(x, y)}
        return Pair(a.label, b.label, difference, tests, words)
    rows_a, rows_b = _rows(a, metric), _rows(b, metric)
    p: dict[str, float] = {}
    if rows_a is None or rows_b is None:
        found = _of_all_rows(a, b, metric)
    else:
        found = paired_bootstrap(rows_a, rows_b)
        if metric == "accuracy" and len(a.folders) == len(b.folders) == 1:
            p["McNemar"] = mcnemar(rows_a, rows_b)
    if found is None:
        return None
    p[found.test] = found.p
    words = _words(a.label, b.label, metric, found, next(iter(p.values())), "on these rows")
    return Pair(a.label, b.label, found, p, words)


def _of_all_rows(a: _Judged, b: _Judged, metric: str) -> Difference | None:
    """The bootstrap of a figure that only many rows have; of several training seeds, their mean."""
    from dlcli.inference.recorded_predictions import figure_of_rows

    figures = [[figure_of_rows(folder, metric) for folder in run.folders] for run in (a, b)]
    of_a, of_b = ([figure for figure in several if figure is not None] for several in figures)
    if len(of_a) < len(a.folders) or len(of_b) < len(b.folders):
        return None
    return paired_bootstrap_of(
        lambda rows: float(np.mean([figure(rows) for figure in of_a])),
        lambda rows: float(np.mean([figure(rows) for figure in of_b])),
        round(a.n_test),
    )


def _rows(run: _Judged, metric: str) -> np.ndarray | None:
    """The metric of each test row, in the order of the rows; None where it is no mean over rows of one target.

    Of several training seeds, each row's mean.
    """
    if metric not in _OF_ROWS:
        return None
    from dlcli.inference.recorded_predictions import held_out

    seeds = []
    for folder in run.folders:
        table = held_out(folder)
        if not {"prediction", "target"} <= set(table.columns):
            return None
        if metric == "accuracy":
            seeds.append((table["prediction"] == table["target"]).to_numpy(dtype=float))
        else:
            errors = (table["prediction"] - table["target"]).to_numpy(dtype=float)
            seeds.append(errors**2 if metric == "mse" else np.abs(errors))
    return np.mean(seeds, axis=0)


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """With Holm's correction: of many pairs some look different by chance."""
    corrected = []
    adjusted = holm([next(iter(pair.p.values())) for pair in pairs])
    for pair, p in zip(pairs, adjusted, strict=True):
        verdict = "distinguishable" if p < _ALPHA else "not distinguishable"
        words = f"{pair.words.rpartition(': ')[0]}: {verdict} among these pairs (Holm p = {p:.2g})"
        corrected.append(Pair(pair.a, pair.b, pair.difference, {**pair.p, "Holm": p}, words))
    return corrected


def _words(a: str, b: str, metric: str, difference: Difference, p: float, where: str) -> str:
    """`B better than A in f1 by 0.8 points, 95 % CI 0.1 worse to 1.7 better: not distinguishable on these folds`."""
    if difference.mean == difference.low == difference.high == 0:
        return f"{b} has the very same {metric} as {a}: not distinguishable {where}"
    sign = -1 if metric in LOWER_IS_BETTER else 1
    is_share = metric.removesuffix("_untuned") in _SHARES
    unit, scale = (" points", 100) if is_share else ("", 1)
    more, less = ("higher", "lower") if metric in _NEITHER else ("better", "worse")
    mean, *ends = (sign * scale * value for value in (difference.mean, difference.low, difference.high))
    better, ends = (more, sorted(ends)) if mean >= 0 else (less, sorted(ends, reverse=True))
    if min(ends) >= 0 or max(ends) <= 0:
        interval = f"{abs(ends[0]):.3g} to {abs(ends[1]):.3g}"
    else:  # each end in words, for a sign could mean either run
        interval = " to ".join(f"{abs(end):.3g} {more if end > 0 else less}" for end in ends)
    verdict = "distinguishable" if p < _ALPHA else "not distinguishable"
    return (
        f"{b} {better} than {a} in {metric} by {abs(mean):.3g}{unit}, 95 % CI {interval}: {verdict} {where}"
    )
