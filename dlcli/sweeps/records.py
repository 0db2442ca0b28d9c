"""Create the runs of trials, and read trials from their ledgers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.cross_validation.children import Children, families
from dlcli.cross_validation.cross_validate import place_of
from dlcli.cross_validation.estimation import Estimation, Fold
from dlcli.errors import CorruptRun, TrainingError
from dlcli.gate.documents import read_json
from dlcli.job import SHARING
from dlcli.runs.folder import read_result, recorded_epochs
from dlcli.runs.trial_words import TRIAL_FILE
from dlcli.sweeps.objective import COSTS, Objective
from dlcli.sweeps.trial import State, Trial
from dlcli.tracking.digests import check_recorded
from dlcli.tracking.history import HISTORY_FILE, read_history
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import PRUNED_TAG
from dlcli.tracking.store import Store

_PLACE = "trial "


class Records:
    """The trials of a sweep as child runs; with several folds, each fold is a child run of the trial.

    Args:
        store: creates the runs.
        sweep: the ledger of the sweep.
        estimation: the rows, and the splits of a trial.
        objectives: objectives of the sweep.
    """

    def __init__(
        self, store: Store, sweep: Ledger, estimation: Estimation, objectives: Sequence[Objective]
    ) -> None:
        self.store = store
        self._sweep = sweep
        self._estimation = estimation
        self._objectives = objectives
        self._families = families(sweep)
        self.children = Children(store, sweep, self._families.get(sweep.run_id, {}))

    @property
    def folds(self) -> list[Fold]:
        """The folds of a trial, with the seeds of the first point's configuration."""
        return self._estimation.folds

    def folds_of(self, config: dict[str, Any]) -> list[Fold]:
        """Return the folds of a trial for its configuration, since the seed may be searched."""
        return replace(self._estimation, config=config).folds

    def read(self) -> list[Trial]:
        """Return all recorded trials, sorted by number; a trial whose record is lost counts as failed."""
        return [self._read(number) for number in recorded(self.children.known)]

    def make(
        self, number: int, params: dict[str, Any], config: dict[str, Any], tags: Mapping[str, str]
    ) -> Trial:
        """Create the run of a new trial, with further tags."""
        folds = self.folds_of(config)
        run_dir = self.children.run_dir(
            f"{_PLACE}{number}",
            "trial",
            config,
            folds[0].split if len(folds) == 1 else self._estimation.whole,
            params,
            {"dlcli.trial": str(number), **tags, **self._tags(folds[0].seed)},
            files={TRIAL_FILE: json.dumps({"number": number, "params": params})},
        )
        return Trial(number, params, run_dir, run_dir.parent.name)

    def fold_dir(self, trial: Trial, index: int, config: dict[str, Any]) -> Path:
        """Return the folder of a fold that is about to start; its run is created if necessary."""
        if len(self.folds) == 1:
            return trial.run_dir
        fold = self.folds_of(config)[index]
        return Children(self.store, Ledger.load(trial.run_dir), self._known_folds(trial)).run_dir(
            place_of(fold, self._estimation),
            "fold",
            config,
            fold.split,
            {"fold": fold.number, "seed": fold.seed},
            {"dlcli.fold": str(fold.number), **self._tags(fold.seed)},
        )

    def finished_folds(self, trial: Trial) -> list[Path]:
        """Return the folders of a trial's finished folds, up to the first unfinished one."""
        if len(self.folds) == 1:
            return [trial.run_dir] if Ledger.load(trial.run_dir).status == "FINISHED" else []
        known, done = self._known_folds(trial), []
        for fold in self.folds:
            folder = known.get(place_of(fold, self._estimation))
            if folder is None or Ledger.load(folder).status != "FINISHED":
                break
            done.append(folder)
        return done

    def existing_folds(self, trial: Trial) -> list[Path]:
        """Return the folders of all folds of a trial that were started."""
        return [trial.run_dir] if len(self.folds) == 1 else list(self._known_folds(trial).values())

    def set_figures(self, trial: Trial, folds: Sequence[Path]) -> None:
        """Set a trial's metrics and values from its finished folds.

        Metrics are means over the folds in which they are defined. An objective has to be defined in all of them: a
        model whose predictions are constant in a fold, where a correlation is undefined, would be judged by the others.

        Raises:
            TrainingError: an objective has no finite value.
        """
        figures = [self.figures(folder) for folder in folds]
        trial.metrics, whole = means_of_defined(figures), means(figures)
        trial.values = tuple(objective.of([whole]) for objective in self._objectives)
        for objective, value in zip(self._objectives, trial.values, strict=True):
            if not math.isfinite(value):
                raise TrainingError(f"{objective.metric} is {value}")

    def figures(self, folder: Path) -> dict[str, float]:
        """Return the metrics of a finished run, and its costs if any cost is an objective."""
        metrics = dict(read_result(folder).values)
        if any(objective.is_cost for objective in self._objectives):
            check_recorded(Ledger.load(folder), HISTORY_FILE)
            lines = [line.metrics for line in read_history(folder)]
            metrics |= {name: line[name] for line in lines for name in COSTS if name in line}
        return metrics

    def _known_folds(self, trial: Trial) -> dict[str, Path]:
        return self._families.setdefault(trial.run_id, {})

    def _tags(self, seed: int) -> dict[str, str]:
        return {
            "dlcli.seed": str(seed),
            "dlcli.data_fingerprint": self._sweep.tags.get("dlcli.data_fingerprint", ""),
        }

    def _read(self, number: int) -> Trial:
        folder = self.children.known.get(f"{_PLACE}{number}")
        if folder is None:
            return Trial(number, {}, self._sweep.run_dir, "", "failed", reason="its record is lost")
        ledger = Ledger.load(folder)
        check_recorded(ledger, TRIAL_FILE)
        params = _params(folder)
        state: State = "running"
        if ledger.status == "FINISHED":
            state = "finished"
        elif PRUNED_TAG in ledger.tags:
            state = "pruned"
        elif ledger.status == "FAILED":
            state = "failed"
        trial = Trial(number, params, folder, ledger.run_id, state)
        if state == "failed":
            trial.reason = (ledger.error or "").partition("\n")[0]
        folds = self.finished_folds(trial)
        trial.seconds = own_seconds(folder, folds)
        trial.reports = self._reports(trial, folds)
        if state == "finished":
            try:
                self.set_figures(trial, folds)
            except TrainingError as error:
                trial.state, trial.reason = "failed", str(error)
        return trial

    def _reports(self, trial: Trial, folds: Sequence[Path]) -> dict[int, float]:
        """Return the values that a trial reported to the pruner, as recorded."""
        objective = self._objectives[0]
        if len(self.folds) == 1:
            values = [epoch.get(objective.metric, math.nan) for epoch in recorded_epochs(trial.run_dir)]
            return running_best(objective, values)
        return dict(enumerate((self.figures(folder)[objective.metric] for folder in folds), start=1))


def _params(folder: Path) -> dict[str, Any]:
    """Read the settings of a trial from its folder."""
    file = folder / TRIAL_FILE
    params = read_json(file, "the trial's settings").get("params")
    if not isinstance(params, dict):
        raise CorruptRun("the trial's settings are not a mapping", str(file), "Copy the folder again.")
    return params


def recorded(known: Iterable[str]) -> range:
    """Return the numbers of all started trials, given the places of the child runs of a sweep."""
    numbers = [int(place.removeprefix(_PLACE)) for place in known if place.startswith(_PLACE)]
    return range(max(numbers, default=-1) + 1)


def running_best(objective: Objective, values: Sequence[float]) -> dict[int, float]:
    """Return epoch (from 1) to the best value up to that epoch, the value of a trial that ends there."""
    found: dict[int, float] = {}
    best = math.nan
    for epoch, value in enumerate(values, start=1):
        best = value if objective.is_better(value, best) else best
        if math.isfinite(best):
            found[epoch] = best
    return found


def means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that all of them have."""
    names = [name for name in metrics[0] if all(name in other for other in metrics)] if metrics else []
    return {name: math.fsum(other[name] for other in metrics) / len(metrics) for name in names}


def means_of_defined(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that all of them have, over those in which it is not NaN; NaN if all are."""
    found = means(metrics)
    for name in [name for name, value in found.items() if math.isnan(value)]:
        there = [other[name] for other in metrics if not math.isnan(other[name])]
        found[name] = math.fsum(there) / len(there) if there else math.nan
    return found


def undefined_in_folds(metrics: Sequence[Mapping[str, float]]) -> list[str]:
    """Return a sentence on the metrics of folds that are NaN in some of them, as a list of at most one item."""
    parts = []
    for name in means(metrics) if len(metrics) > 1 else ():
        there = sum(not math.isnan(other[name]) for other in metrics)
        if there < len(metrics):
            parts.append(f"{name} in {there} of {len(metrics)}")
    return (
        [f"The metrics of the best trial are means over the folds that define them: {', '.join(parts)}."]
        if parts
        else []
    )


def own_seconds(run_dir: Path, folds: Sequence[Path]) -> float:
    """Return the duration of a trial, without the time in which its finished folds waited for the steps of others."""
    trial, runs = Ledger.load(run_dir), [Ledger.load(fold) for fold in folds]
    since = [run for run in runs if (run.started_at or "") >= (trial.started_at or "")]
    return max(0.0, trial.seconds - sum(run.result.get(SHARING, {}).get("waited", 0.0) for run in since))
