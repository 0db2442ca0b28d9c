"""Compare runs: their settings, their metrics on held-out rows, and the significance of the differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.comparison.conclusions import no_test
from dlcli.comparison.estimates import Ends, ends_of, told_of_folds, told_of_seeds
from dlcli.comparison.paired_runs import Pair, compared_pair, config_of, holm_corrected, testable_metrics
from dlcli.comparison.pairing import Evaluated, find_refusal, training_rows
from dlcli.comparison.recorded_loss import losses_differ
from dlcli.comparison.scale import scale_of, units_differ
from dlcli.config.metric_words import metrics_meant
from dlcli.config.next_command import next_command, resume_command
from dlcli.config.suggest import question
from dlcli.errors import CorruptRun, InputError
from dlcli.runs.folder import OpenedRun, open_run
from dlcli.runs.recorded import read_split
from dlcli.splits.split import name_of_test_rows
from dlcli.statistics.mean_ranks import Ranking, friedman
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.mlflow_inputs import flatten

ALL = "all"
_HELD_OUT = "test/"
_NO_DIFFERENCE = frozenset({"runs_dir", "run_name", "experiment_name", "baseline"})


@dataclass(frozen=True)
class Comparison:
    """The result of `dlcli compare`.

    Attributes:
        runs: Names of the runs.
        settings: Dotted key to each run's value, for the keys that differ.
        figures: Metric to each run's value on held-out rows (mean over folds); None for a run without the metric.
        intervals: Metric to each run's 95 % interval, over folds or the rows of a hold-out; None where unknown.
        metric: The metric that was tested, or `all`.
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
    intervals: dict[str, tuple[Ends | None, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the `--json` document."""
        return {"status": "FINISHED", **asdict(self)}


def compare_runs(refs: Sequence[str], runs_dir: Path, metric: str | None = None) -> Comparison:
    """Compare two or more runs.

    Args:
        refs: Names, IDs or folders of the runs.
        runs_dir: Folder of all runs.
        metric: The metric to test, or `all`; None for the first one that all runs have and that is not the loss.

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
    if metric not in (common if metric != ALL or not common else [ALL]):
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
    folders = [run.folders[0] for run in runs]
    intervals = {name: tuple(ends_of(run, name, scale_of(name, folders)) for run in runs) for name in names}
    notes: tuple[str, ...] = told_of_seeds(runs)
    if metric == ALL:
        twice = all(
            math.isclose(a or math.nan, b or math.nan, rel_tol=1e-5)
            for a, b in zip(figures.get("log_loss", ()), figures.get("loss", ()), strict=False)
        )
        tested = [_tested(runs, name, common) for name in common if not (twice and name == "log_loss")]
        pairs = [pair for own, _, _ in tested for pair in own]
        reasons = list(dict.fromkeys(reason for _, _, reason in tested if reason))
        whole = find_refusal(runs)
        refusal, ranking = whole or (None if pairs else reasons[0]), None
        notes += () if refusal else (*reasons, _MANY)
    else:
        pairs, ranking, refusal = _tested(runs, metric, common)
    labels = tuple(run.label for run in runs)
    whose = {f"{name_of_test_rows(Ledger.load(run.folders[0]).kind == 'fold')} rows" for run in runs}
    rows = " and ".join(sorted(whose))
    notes = (*(() if refusal else (*training_rows(runs), *notes)), *told_of_folds(runs))
    settings = _settings(opened)
    return Comparison(
        labels, settings, figures, metric, tuple(pairs), ranking, refusal, rows, notes, intervals
    )


_MANY = "The p-values are not corrected for the number of metrics: conclude from the metric that was chosen beforehand."


def _tested(
    runs: Sequence[Evaluated], metric: str, common: Sequence[str]
) -> tuple[list[Pair], Ranking | None, str | None]:
    """Return the tested pairs of runs, the ranking of three or more, and why there is no test."""
    folders = [run.folders[0] for run in runs]
    refusal = find_refusal(runs) or units_differ(metric, folders)
    if different := refusal or losses_differ(metric, [config_of(run.opened) for run in runs]):
        others = testable_metrics(runs, metric, common)
        refusal = refusal or (f"{different} Compare by --metric {others[0]}." if others else different)
    if refusal:
        return [], None, refusal
    scale = scale_of(metric, folders)
    both = list(itertools.combinations(runs, 2))
    found = [compared_pair(a, b, metric, scale, len(both)) for a, b in both]
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < len(found):
        others = testable_metrics(runs, metric, common)
        return [], None, no_test(metric, others, of_folds=len(runs[0].folds) > 1)
    if len(runs) < 3:
        return pairs, None, None
    pairs, ranking = holm_corrected(pairs), None
    if len(runs[0].folds) > 1 and scale.better:
        table = np.array([[fold[metric] for fold in run.folds] for run in runs]).T
        table = table[np.isfinite(table).all(axis=1)]
        ranking = None if len(table) < 2 else friedman(table, higher_is_better=scale.better == "higher")
    return pairs, ranking, None


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
    flat = [dict(flatten(config_of(run))) for run in opened]
    keys = dict.fromkeys(key for config in flat for key in config if key not in _NO_DIFFERENCE)
    values = {key: tuple(config.get(key, "-") for config in flat) for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}
