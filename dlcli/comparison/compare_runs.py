"""Compare runs: their settings, their metrics on held-out rows, and the significance of the differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.comparison.pairing import Evaluated, find_refusal, training_rows
from dlcli.comparison.recorded_loss import losses_differ, recorded_loss
from dlcli.comparison.scale import MetricScale, scale_of, units_differ
from dlcli.comparison.sentences import ALPHA, difference_in_words, no_test
from dlcli.config.metric_words import metrics_meant
from dlcli.config.next_command import next_command, resume_command
from dlcli.config.suggest import question
from dlcli.errors import CorruptRun, InputError
from dlcli.inference.predictions_file import held_out
from dlcli.runs.folder import OpenedRun, open_run
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_config, read_split
from dlcli.splits.split import name_of_test_rows
from dlcli.statistics.mean_ranks import Ranking, friedman, holm
from dlcli.statistics.paired import (
    Difference,
    corrected_paired_t,
    mcnemar,
    paired_bootstrap,
    paired_bootstrap_of,
    signed_rank_p,
)
from dlcli.tracking.digests import WINNER_FILE
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.mlflow_inputs import flatten

# Metrics that are means over rows. The bootstrap resamples their differences per row, which is fast.
_OF_ROWS = ("accuracy", "mse", "mae")
_HELD_OUT = "test/"
_NO_DIFFERENCE = frozenset({"runs_dir", "run_name", "experiment_name", "baseline"})


@dataclass(frozen=True)
class Pair:
    """The test of two runs on the same rows: `p` holds p-values by test, `words` the conclusion as a sentence."""

    a: str
    b: str
    difference: Difference
    p: dict[str, float]
    words: str


@dataclass(frozen=True)
class Comparison:
    """The result of `dlcli compare`.

    Attributes:
        runs: Names of the runs.
        settings: Dotted key to each run's value, for the keys that differ.
        figures: Metric to each run's value on held-out rows (mean over folds); None for a run without the metric.
        metric: The metric that was tested.
        pairs: Tested pairs; empty if the runs cannot be paired.
        ranking: Ranking of three or more cross-validated runs; None for fewer, or a metric of unknown direction.
        refusal: Why the runs cannot be paired, or None.
        rows: Description of the rows that the figures are computed on: held-out rows, final test rows, or both.
        notes: Differences between the runs other than settings.
    """

    runs: tuple[str, ...]
    settings: dict[str, tuple[str, ...]]
    figures: dict[str, tuple[float | None, ...]]
    metric: str
    pairs: tuple[Pair, ...]
    ranking: Ranking | None
    refusal: str | None
    rows: str = "held-out rows"
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the `--json` document."""
        return {"status": "FINISHED", **asdict(self)}


def compare_runs(refs: Sequence[str], runs_dir: Path, metric: str | None = None) -> Comparison:
    """Compare two or more runs.

    Args:
        refs: Names, IDs or folders of the runs.
        runs_dir: Folder of all runs.
        metric: The metric to test; None for the first one that all runs have and that is not the loss.

    Raises:
        InputError: There are fewer than two runs, a run has no metrics on held-out rows, or not all runs have the
            metric.
    """
    if len(refs) < 2:
        line = next_command("compare", *(refs or ["RUN_A"]), "RUN_B", runs_dir=runs_dir)
        hint = f"Name two or more: {line}\nThe runs are listed by: {next_command('runs', runs_dir=runs_dir)}"
        raise InputError("a comparison needs at least two runs", "RUN", hint)
    opened = [open_run(ref, runs_dir) for ref in refs]
    _check_different(refs, opened)
    runs = [_evaluated(run, label) for run, label in zip(opened, _labels(opened), strict=True)]
    metric = metric and metric.removeprefix(_HELD_OUT)
    names = dict.fromkeys(name for run in runs for name in run.folds[0])
    common = [name for name in names if all(name in run.folds[0] for run in runs)]
    metric = metric or next((name for name in common if name != "loss"), next(iter(common), ""))
    if metric not in common:
        nearest = question(metrics_meant(metric, common)) if metric else ""
        hint = f"{nearest} All runs have: {', '.join(common)}." if common else "Choose runs of the same task."
        message = (
            f"not all runs have {metric} on held-out rows" if metric else "the runs have no metric in common"
        )
        raise InputError(message, "--metric", hint.strip())
    figures = {
        name: tuple(
            _mean([fold[name] for fold in run.folds]) if name in run.folds[0] else None for run in runs
        )
        for name in names
    }
    refusal = find_refusal(runs) or units_differ(metric, [run.folders[0] for run in runs])
    if different := refusal or losses_differ(metric, [_config(run) for run in opened]):
        others = _others(runs, metric, common)
        refusal = refusal or (f"{different} Compare by --metric {others[0]}." if others else different)
    scale = scale_of(metric, [run.folders[0] for run in runs])
    found = [] if refusal else [_pair(a, b, metric, scale) for a, b in itertools.combinations(runs, 2)]
    pairs = [pair for pair in found if pair is not None]
    if not refusal and len(pairs) < len(found):
        refusal, pairs = no_test(metric, _others(runs, metric, common), of_folds=len(runs[0].folds) > 1), []
    ranking = None
    if pairs and len(runs) > 2:
        pairs = _corrected(pairs)
        if len(runs[0].folds) > 1 and scale.better:
            table = np.array([[fold[metric] for fold in run.folds] for run in runs]).T
            table = table[np.isfinite(table).all(axis=1)]
            ranking = None if len(table) < 2 else friedman(table, higher_is_better=scale.better == "higher")
    labels = tuple(run.label for run in runs)
    whose = {f"{name_of_test_rows(Ledger.load(run.folders[0]).kind == 'fold')} rows" for run in runs}
    rows = " and ".join(sorted(whose))
    notes = () if refusal else training_rows(runs)
    return Comparison(labels, _settings(opened), figures, metric, tuple(pairs), ranking, refusal, rows, notes)


def _check_different(refs: Sequence[str], opened: Sequence[OpenedRun]) -> None:
    """Check that no two references name the same run.

    Raises:
        InputError: Two of them do; a name stands for the newest run of that name.
    """
    names: dict[Path, str] = {}
    for ref, run in zip(refs, opened, strict=True):
        place = run.folder.resolve()
        if place in names:
            both = f"{names[place]} and {ref}" if names[place] != ref else f"{ref}, given twice,"
            hint = " ".join(["Give the IDs of different runs.", *run.notes])
            raise InputError(f"{both} refer to the same run {run.ledger.run_id[:8]}", "RUN", hint)
        names[place] = ref


def _labels(opened: Sequence[OpenedRun]) -> list[str]:
    names = [run.ledger.run_name for run in opened]
    return [
        name if names.count(name) == 1 else f"{name} ({run.ledger.run_id[:8]})"
        for name, run in zip(names, opened, strict=True)
    ]


def _evaluated(run: OpenedRun, label: str) -> Evaluated:
    """Return the run with the metrics of each fold (mean over its seeds); a hold-out counts as one fold."""
    result = run.ledger.result
    # A hold-out, or the winner of a sweep, which was tested once on the final test rows.
    refitted = result.get("refit_run_id") if run.ledger.kind in ("cv", "sweep") else None
    runs = [refitted] if refitted else result.get("folds", ())
    folders = [run.ledger.sibling(run_id) for run_id in runs] or [run.folder]
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
            hint = f"Resume it first: {resume_command(run.ledger)}"
            if run.ledger.kind == "ensemble":
                untested = "Select among runs that have final test rows: cv.test_size=0.2"
                again = f"Select again: {resume_command(run.ledger)}"
                hint = untested if ledger.status == "FINISHED" else again
            message = f"{label} has no metrics on held-out rows ({run.ledger.status})"
            raise InputError(message, str(run.folder), hint)
        if by_fold and figures.keys() != next(iter(by_fold.values()))[0].keys():
            hint = "Copy the folder again, or train again."
            raise CorruptRun("the fold has other metrics than the first one", str(folder / LEDGER_FILE), hint)
        by_fold.setdefault(int(ledger.tags.get("dlcli.fold", 0)), []).append(figures)
        splits.append(read_split(ledger))
    folds = [
        {name: _mean([seed[name] for seed in by_fold[number]]) for name in by_fold[number][0]}
        for number in sorted(by_fold)
    ]
    n_train = float(np.mean([len(split.train) + len(split.val) for split in splits]))
    n_test = float(np.mean([len(split.test) for split in splits]))
    return Evaluated(run, label, tuple(folders), folds, n_train, n_test)


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    there = [value for value in values if not math.isnan(value)]
    return float(np.mean(there)) if there else math.nan


def _settings(opened: Sequence[OpenedRun]) -> dict[str, tuple[str, ...]]:
    flat = [dict(flatten(_config(run))) for run in opened]
    keys = dict.fromkeys(key for config in flat for key in config if key not in _NO_DIFFERENCE)
    values = {key: tuple(config.get(key, "-") for config in flat) for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def _config(run: OpenedRun) -> dict[str, Any]:
    """Return the configuration that a run's metrics belong to; for a sweep, that of its best trial."""
    has_winner = (run.folder / WINNER_FILE).exists() or WINNER_FILE in (run.ledger.digests or {})
    return read_config(run.ledger, WINNER_FILE) if has_winner else run.config


def _others(runs: Sequence[Evaluated], metric: str, common: Sequence[str]) -> list[str]:
    """Return the metrics that can be tested in place of `metric`."""
    if len(runs[0].folds) > 1:
        complete = (n for n in common if all(math.isfinite(fold[n]) for run in runs for fold in run.folds))
        return [name for name in complete if name not in ("loss", metric)]
    return [
        name
        for name in _OF_ROWS
        if name != metric and name in common and all(_rows(run, name) is not None for run in runs)
    ]


def _pair(a: Evaluated, b: Evaluated, metric: str, scale: MetricScale) -> Pair | None:
    """Test the difference of two runs.

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
        return Pair(a.label, b.label, difference, tests, words)
    p: dict[str, float] = {}
    with model_errors(a.opened.folder), model_errors(b.opened.folder):
        rows_a, rows_b = _rows(a, metric), _rows(b, metric)
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
    return Pair(a.label, b.label, found, p, words)


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


def _rows(run: Evaluated, metric: str) -> np.ndarray | None:
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
    config = _config(run.opened)
    return [(folder, *(recorded_loss(folder, config) or ("", 0.0))) for folder in run.folders]


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with Holm's correction for multiple comparisons."""
    corrected = []
    adjusted = holm([next(iter(pair.p.values())) for pair in pairs])
    for pair, p in zip(pairs, adjusted, strict=True):
        verdict = "distinguishable" if p < ALPHA else "not distinguishable"
        words = f"{pair.words.rpartition(': ')[0]}: {verdict} among these pairs (Holm p = {p:.2g})"
        corrected.append(Pair(pair.a, pair.b, pair.difference, {**pair.p, "Holm": p}, words))
    return corrected
