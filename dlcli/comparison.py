"""Runs side by side: what differs in them, what each is worth, and whether a difference is more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlcli.errors import InputError
from dlcli.run_folder import OpenedRun, open_run
from dlcli.splits.split import Split
from dlcli.statistics.paired import Difference, corrected_paired_t, mcnemar, paired_bootstrap, wilcoxon
from dlcli.statistics.ranks import Ranking, friedman, holm
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.store import flatten

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
    }
)
# Figures that are means over rows: of these alone can predictions of a single hold-out be compared row by row.
_OF_ROWS = ("accuracy", "mse", "mae")
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
    """A run as it is compared: its figures by metric and fold, and the rows behind them."""

    opened: OpenedRun
    label: str
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
    pairs = [] if refusal else [_pair(a, b, metric) for a, b in itertools.combinations(runs, 2)]
    if not refusal and not pairs[0].p:
        refusal = (
            f"{metric} of a single hold-out cannot be compared row by row, as {', '.join(_OF_ROWS)} can."
        )
        pairs = []
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
    beside = run.folder.parents[1]
    folders = [beside / run_id / "artifacts" for run_id in run.ledger.result.get("folds", ())] or [run.folder]
    by_fold: dict[int, list[dict[str, float]]] = {}
    splits = []
    for folder in folders:
        ledger = Ledger.load(folder)
        figures = {k.removeprefix("test/"): v for k, v in ledger.metrics.items() if k.startswith("test/")}
        if ledger.status != "FINISHED" or not figures:
            raise InputError(
                f"{label} has no figures on held-out rows ({run.ledger.status})",
                str(run.folder),
                f"Finish it first: dlcli resume {run.ledger.run_id[:8]}",
            )
        by_fold.setdefault(int(ledger.tags.get("dlcli.fold", 0)), []).append(figures)
        splits.append(Split.load(folder / "split.npz"))
    folds = [
        {name: float(np.mean([seed[name] for seed in by_fold[number]])) for name in by_fold[number][0]}
        for number in sorted(by_fold)
    ]
    n_train = float(np.mean([len(split.train) + len(split.val) for split in splits]))
    return _Judged(run, label, folds, n_train, float(np.mean([len(split.test) for split in splits])))


def _settings(opened: Sequence[OpenedRun]) -> dict[str, tuple[str, ...]]:
    flat = [dict(flatten(run.config)) for run in opened]
    keys = dict.fromkeys(key for config in flat for key in config if key not in _NO_DIFFERENCE)
    values = {key: tuple(config.get(key, "-") for config in flat) for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def _refusal(runs: Sequence[_Judged]) -> str | None:
    """Why the runs' figures do not belong together in pairs."""
    tags: list[Mapping[str, str]] = [run.opened.ledger.tags for run in runs]
    for what in ("data", "split"):
        if len({tag.get(f"dlcli.{what}_fingerprint") for tag in tags}) > 1:
            same = "the same rows" if what == "data" else "the same split (cv, its folds and cv.seed)"
            return f"The {what} differs: figures pair only on {same}. Side by side they are no test."
    return None


def _pair(a: _Judged, b: _Judged, metric: str) -> Pair:
    if len(a.folds) > 1:
        x, y = ([fold[metric] for fold in run.folds] for run in (a, b))
        difference = corrected_paired_t(x, y, a.n_train, a.n_test)
        p = {difference.test: difference.p, "Wilcoxon signed-rank": wilcoxon(x, y)}
        words = _words(b.label, metric, difference, difference.p, "on these folds")
        return Pair(a.label, b.label, difference, p, words)
    rows_a, rows_b = _rows(a, metric), _rows(b, metric)
    if rows_a is None or rows_b is None:
        nothing = Difference(b.folds[0][metric] - a.folds[0][metric], np.nan, np.nan, np.nan, "none")
        return Pair(a.label, b.label, nothing, {}, "")
    difference = paired_bootstrap(rows_a, rows_b)
    p = {difference.test: difference.p}
    if metric == "accuracy":
        p = {"McNemar": mcnemar(rows_a, rows_b), **p}
    words = _words(b.label, metric, difference, next(iter(p.values())), "on these rows")
    return Pair(a.label, b.label, difference, p, words)


def _rows(run: _Judged, metric: str) -> np.ndarray | None:
    """The metric of each test row, in the order of the rows; None where it is no mean over rows of one target."""
    table = pd.read_parquet(run.opened.folder / "predictions.parquet")
    if metric not in _OF_ROWS or not {"prediction", "target"} <= set(table.columns):
        return None
    table = table[table["split"] == "test"].sort_values("row")
    if metric == "accuracy":
        return (table["prediction"] == table["target"]).to_numpy(dtype=float)
    errors = (table["prediction"] - table["target"]).to_numpy(dtype=float)
    return errors**2 if metric == "mse" else np.abs(errors)


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """With Holm's correction: of many pairs some look different by chance."""
    corrected = []
    adjusted = holm([next(iter(pair.p.values())) for pair in pairs])
    for pair, p in zip(pairs, adjusted, strict=True):
        verdict = "distinguishable" if p < _ALPHA else "not distinguishable"
        words = f"{pair.words.rpartition(': ')[0]}: {verdict} among these pairs (Holm p = {p:.2g})"
        corrected.append(Pair(pair.a, pair.b, pair.difference, {**pair.p, "Holm": p}, words))
    return corrected


def _words(name: str, metric: str, difference: Difference, p: float, where: str) -> str:
    """`B better by 0.8 points, 95 % CI -0.1 to 1.7: not distinguishable on these folds`."""
    if difference.mean == difference.low == difference.high == 0:
        return f"{name} has the very same {metric}: not distinguishable {where}"
    sign = -1 if metric in LOWER_IS_BETTER else 1
    unit, scale = ("points", 100) if metric in _SHARES else (metric, 1)
    mean, ends = difference.mean * sign, sorted((difference.low * sign, difference.high * sign))
    more, less = ("higher", "lower") if metric in _NEITHER else ("better", "worse")
    better = more if mean >= 0 else less
    if mean < 0:
        mean, ends = -mean, [-ends[1], -ends[0]]
    verdict = "distinguishable" if p < _ALPHA else "not distinguishable"
    low, high = (f"{end * scale:.3g}" for end in ends)
    return f"{name} {better} by {mean * scale:.3g} {unit}, 95 % CI {low} to {high}: {verdict} {where}"
