"""A sweep from its first trial, or from where it was stopped, to its winner."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.config.build import build
from dlcli.config.next_command import resume_command
from dlcli.cross_validation.fold_summary import mean_baselines
from dlcli.cross_validation.refit import refit
from dlcli.errors import DiskFull, ExecutorError, Interrupted, TrainingError
from dlcli.executors.base import Executor
from dlcli.files.disk import disk_errors
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.result import Result
from dlcli.runs.folder import read_result, recorded_baselines
from dlcli.runs.recorded import read_config_text
from dlcli.runs.retention import drop_weights, has_weights
from dlcli.sweeps.driver import Driver
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.records import Records
from dlcli.sweeps.study import Study
from dlcli.sweeps.summary import best_so_far, describe, messages, why_failed, write_sweep_report
from dlcli.sweeps.trial import BEST_TAG, Trial
from dlcli.sweeps.watcher import SweepWatcher
from dlcli.tracking.amend import amend
from dlcli.tracking.digests import WINNER_FILE, forget_results
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store


def sweep(
    plan: SweepPlan,
    run_dir: Path,
    store: Store,
    watcher: SweepWatcher,
    *,
    system_metrics: bool,
    executor: Executor | None = None,
) -> Result:
    """Do the trials that are left, refit the winner, and record on the parent what all of them say together.

    Without an `executor` that is open already, it opens its own.

    Raises:
        TrainingError: too many trials failed, or all of them did; the sweep has failed.
        Interrupted: the sweep is killed, and can be resumed.
    """
    started = time.monotonic()
    with Recorder(run_dir, system_metrics=system_metrics) as recorder, disk_errors(run_dir):
        records = Records(store, recorder.ledger, plan.estimation, plan.objectives)
        standing = Standing(records.read(), plan.objectives)
        with _telling_how_it_goes_on(recorder.ledger, plan, standing):
            study, driver = _search(plan, records, standing, recorder, watcher, executor)
            best = standing.best
            if best is None or driver.is_stopped_by_failures:
                raise _no_winner(standing, plan, driver, recorder.ledger)
            forget_results(recorder.ledger)
            # Before the refit: it may fail, or be stopped, and what was searched for is found.
            missing = write_sweep_report(run_dir, plan, study, standing)
            _tag_best(store, standing)
            recorder.tag("dlcli.best_command", plan.command(best.params))
            values = zip(plan.objectives, best.values, strict=True)
            figures = {f"best/{objective.metric}": value for objective, value in values}
            guesses = mean_baselines([read_result(folder) for folder in records.existing_folds(best)])
            final, tested = _refit(plan, records, run_dir, best, watcher) if plan.options.refit else ({}, {})
            folds = len(plan.estimation.splits)
            goes_on = None if driver.is_complete else resume_command(recorder.ledger)
            said = [*messages(plan, standing, final, goes_on), *missing]
            recorder.tag("mlflow.note.content", "\n".join(said))
            refitted = records.children.known.get(_place_of_refit(best)) if plan.options.refit else None
            winner = read_config_text(Ledger.load(refitted or best.run_dir))
            atomic_write(run_dir / WINNER_FILE, winner)
            recorder.finish(
                {**figures, **final, **recorded_baselines(guesses | tested)},
                step=len(standing.trials),
                result={
                    "metrics": [*figures, *final],
                    "messages": said,
                    "duration_s": round(time.monotonic() - started, 3),
                    "trials": [trial.to_json() for trial in standing.trials],
                    "best": {**best.to_json(), "command": plan.command(best.params), "folds": folds},
                    "out_of_time": not driver.is_complete,
                    "front": [trial.number for trial in standing.front],
                    "refit_run_id": refitted.parent.name if refitted else None,
                },
            )
    return read_result(run_dir)


def _search(
    plan: SweepPlan,
    records: Records,
    standing: Standing,
    recorder: Recorder,
    watcher: SweepWatcher,
    executor: Executor | None,
) -> tuple[Study, Driver]:
    """Do the trials that are left."""
    keeper = _Keeper(plan, records, standing, recorder, watcher)
    keeper.tidy(standing.trials)
    keeper.catch_up()
    config = plan.config
    study = Study(
        plan.space,
        plan.objectives,
        plan.sampler,
        config["sweep"]["pruner"],
        config["seed"],
        len(records.folds),
        config["trainer"].get("max_epochs") or 1,
        standing.trials,
    )
    description = describe(plan, recorder.ledger.run_dir)
    watcher.planned(description, plan.total, plan.slots, plan.objectives[0], list(standing.trials))
    driver = Driver(plan, study, records, standing, watcher, keeper.ended)
    if not driver.is_complete:
        opening = getattr(build(config["executor"], where="executor"), "opening", "")
        if opening and executor is None:
            watcher.noted(opening)
        with nullcontext(executor) if executor else open_executor(plan) as opened:
            driver.run(opened)
    return study, driver


def open_executor(plan: SweepPlan) -> Executor:
    """What trains a sweep's trials."""
    from dlcli.executors.time_limits import Limits

    options = plan.options
    limited = options.seconds is not None or options.trial_seconds is not None
    executor: Executor = build(plan.config["executor"], where="executor").open(
        plan.config,
        plan.estimation.data,
        plan.slots,
        apart=limited or Limits.of(plan.config).any_of_time,
    )
    return executor


class _Keeper:
    """Keeps the parent's record and the disk in step with the trials."""

    def __init__(
        self,
        plan: SweepPlan,
        records: Records,
        standing: Standing,
        recorder: Recorder,
        watcher: SweepWatcher,
    ) -> None:
        self._records = records
        self._standing = standing
        self._recorder = recorder
        self._watcher = watcher
        self._keep = plan.kept
        self._kept: set[int] = set()

    def ended(self, trial: Trial) -> None:
        """A trial has ended: note it, and let go of weights that nobody needs any more."""
        best = self._standing.best
        self._log(trial, best)
        before = [other for other in self._standing.trials if other.number in self._kept]
        self.tidy([trial, *before])
        self._watcher.ended(trial, best)

    def catch_up(self) -> None:
        """Note what ended while nobody could: the sweep was killed just then. What is noted stays as it is."""
        best = self._standing.best
        for trial in self._standing.having("finished"):
            self._log(trial, best)

    def _log(self, trial: Trial, best: Trial | None) -> None:
        figures = {"sweep/value": trial.values[0]} if trial.state == "finished" else {}
        if best is not None:
            figures["sweep/best"] = best.values[0]
            if best is trial:
                ledger = self._recorder.ledger
                ledger.update(result={**ledger.result, "best_run_id": best.run_id}, durable=False)
        if figures:
            self._recorder.log(figures, step=trial.number)

    def tidy(self, trials: list[Trial]) -> None:
        """Drop the weights of trials that have ended, and are not among the best."""
        kept = self._standing.ranked[: self._keep]
        self._kept = {trial.number for trial in kept}
        folders = {folder for trial in kept for folder in self._records.existing_folds(trial)}
        for trial in trials:
            if trial.state != "running" and trial.run_id:
                for folder in self._records.existing_folds(trial):
                    if folder not in folders and has_weights(folder):
                        drop_weights(folder)


def _place_of_refit(winner: Trial) -> str:
    # Its own run for each winner: a sweep that is extended may find another one.
    return f"refit of trial {winner.number}"


def _refit(
    plan: SweepPlan, records: Records, run_dir: Path, winner: Trial, watcher: SweepWatcher
) -> tuple[dict[str, float], dict[str, float]]:
    """Train the winner on all rows but the final test rows; its figures on those, and what baselines are worth."""
    config: dict[str, Any] = plan.trial_config(winner.params)
    estimation = replace(plan.estimation, config=config)
    folds = records.existing_folds(winner)
    place, words = _place_of_refit(winner), plan.words(winner.params)
    try:
        return refit(estimation, records.children, run_dir, folds, watcher.refitting(), place, words)
    except Exception as error:
        error.add_note(f"That was the {place}; the trials are done. {best_so_far(plan, winner)}")
        error.add_note(f"Train it: {plan.command(winner.params)}")
        raise


def _tag_best(store: Store, standing: Standing) -> None:
    """Tag the best trials, and take the tag from those that were the best before the sweep was extended."""
    best = {trial.number for trial in standing.front}
    for trial in standing.having("finished"):
        tagged = Ledger.load(trial.run_dir).tags.get(BEST_TAG) == "true"
        if tagged != (trial.number in best):
            amend(store, trial.run_dir, {BEST_TAG: str(trial.number in best).lower()})


@contextmanager
def _telling_how_it_goes_on(ledger: Ledger, plan: SweepPlan, standing: Standing) -> Iterator[None]:
    """Whatever stops it, in a trial or the refit, says what is done of the sweep, and how that goes on."""
    try:
        yield
    except (Interrupted, DiskFull, ExecutorError) as stop:
        done, best = len(standing.having("finished")), standing.best
        so_far = f"{done} of {plan.total} trials are done." + (f" {best_so_far(plan, best)}" if best else "")
        kept = f"What is done is kept in {display(ledger.run_dir)}"
        stop.__notes__ = [so_far, kept, f"Go on with it: {resume_command(ledger)}"]
        raise


def _no_winner(standing: Standing, plan: SweepPlan, driver: Driver, ledger: Ledger) -> TrainingError:
    """Why a sweep ends without one: too many trials failed, all of them did, or there was no time for any."""
    failed, best = standing.having("failed"), standing.best
    why = why_failed(standing)
    so_far = f"{best_so_far(plan, best)} " if best else ""
    if driver.is_stopped_by_failures:
        more = f"sweep.max_failures={2 * len(failed)}"
        return TrainingError(
            f"{counted(len(failed), 'trial')} of {len(standing.trials)} failed.{why}",
            "sweep.max_failures",
            f"{so_far}Go on with: {resume_command(ledger, more)}",
        )
    if driver.is_complete:
        return TrainingError(
            f"no trial finished: {len(failed)} of {len(standing.trials)} failed.{why}", "sweep"
        )
    return TrainingError(
        f"the time was up before any trial finished.{why}",
        "sweep.timeout",
        f"Give it longer: {resume_command(ledger, 'sweep.timeout=TIME')}",
    )
