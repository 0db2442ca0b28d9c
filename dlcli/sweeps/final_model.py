"""The final model of a sweep: an ensemble of its best trials, or its best trial trained on all rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.config.pasted import pasted
from dlcli.cross_validation.refit import refit
from dlcli.errors import CorruptRun, DataError, InputError
from dlcli.events import Listener, RefitStarted
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.job import Job
from dlcli.runs.explanation_record import EXPLANATION_FILE, SALIENCY_PICTURE
from dlcli.runs.folder import OpenedRun, open_run, read_result
from dlcli.runs.retention import has_weights
from dlcli.sweeps.ensemble_candidates import EnsembleCandidate
from dlcli.sweeps.ensemble_selection import select_ensemble
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.records import Records
from dlcli.sweeps.sweep_summary import best_so_far
from dlcli.sweeps.trial import Trial
from dlcli.tracking.digests import PREDICTIONS_FILE


@dataclass(frozen=True)
class FinalModel:
    """The final model of a sweep, and its test.

    Attributes:
        metrics: Metrics on the final test rows, by name; empty if there are none.
        baselines: The baselines' metrics on them.
        over: Metric to the number of classes that it is the mean of, if it is not that of all.
        messages: What the final model is, and how it was tested.
        notices: Notices of the refit.
        result: The entries of the sweep's result.
        run: Folder of the refitted run, or None.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    over: Mapping[str, int] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    notices: Mapping[str, Iterable[Mapping[str, Any]]] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    run: Path | None = None


def make_final_model(
    plan: SweepPlan,
    records: Records,
    run_dir: Path,
    standing: Standing,
    listen: Listener,
    run: Callable[[Job], object] | None = None,
) -> FinalModel:
    """Select an ensemble of the best trials (`sweep.ensemble`) or refit the best one (`sweep.refit`), and test it once.

    The best trial is refitted where the predictions of the trials cannot be averaged.

    Args:
        plan: The sweep.
        records: The runs of its trials.
        run_dir: Folder of the sweep's run, which receives the model or the ensemble's predictions.
        standing: The trials, of which at least one has finished.
        listen: Receives the progress.
        run: Runs the job of a refit; None runs it with the configured executor.
    """
    # What a final model has left before the sweep was extended.
    shutil.rmtree(run_dir / "model", ignore_errors=True)
    for name in (PREDICTIONS_FILE, EXPLANATION_FILE, f"plots/{SALIENCY_PICTURE}.png"):
        (run_dir / name).unlink(missing_ok=True)
    told: tuple[str, ...] = ()
    if plan.options.ensemble:
        found = _ensemble(plan, records, run_dir, standing)
        if isinstance(found, FinalModel):
            return found
        told = (f"No ensemble is the final model: {found}.",)
    if not plan.options.refit:
        return FinalModel(messages=told)
    refitted = _refit(plan, records, run_dir, standing, listen, run)
    return replace(refitted, messages=(*told, *refitted.messages))


def _ensemble(plan: SweepPlan, records: Records, run_dir: Path, standing: Standing) -> FinalModel | str:
    """Return an ensemble of the best trials, or the reason why a refit of the best one is better or the only way.

    With folds, each row has trained most of the models of a trial. With one set of validation rows, these have trained
    none of them. For series and rows with times, the rows that are missing are the latest ones.
    """
    objective, data = plan.objectives[0], plan.estimation.data
    if len(plan.objectives) > 1 or objective.is_cost:
        return "it would be selected by one metric of its predictions (sweep.objectives)"
    is_held_out = len(plan.estimation.splits) == 1
    if data.times is not None or data.target_kind == "forecast" or data.reach is not None:
        return "a refit is trained on the latest rows as well"

    try:
        candidates = _candidates(plan, records, standing)
        if not candidates:
            return "no trial has kept its weights"
        device = choose_device(plan.config["trainer"].get("accelerator", "auto"))
        tested = plan.estimation.final_test
        selected = select_ensemble(
            candidates,
            data,
            tested,
            device,
            metric=objective.metric,
            mode=objective.mode,
            alone=_why_alone(plan.options.ensemble, len(standing.ranked)),
        )
    except (InputError, DataError, CorruptRun) as error:  # such as masks, whose predictions have no mean
        return f"{error.problems[0].where}: {error.problems[0].message}"
    if is_held_out and sum(one > 0 for one in selected.counts) == 1:
        return "none is better on the validation rows than the best trial"
    metrics, baselines, over, told = selected.evaluate(data, run_dir, device)
    final = f"The final model is the mean of {counted(len(selected.members), 'model')}" + (
        ", tested once on the final test rows: see test/..." if metrics else "."
    )
    return FinalModel(metrics, baselines, over, (*selected.messages, final, *told), result=selected.result)


def _why_alone(most: int, finished: int) -> str:
    """Return why a search with a number of finished trials has a single candidate for an ensemble of at most `most`."""
    if finished == 1:
        return "no other trial finished"
    if most == 1:
        return f"{pasted('sweep.ensemble', 1)} takes the best trial only"
    return "no other trial has kept its weights (tracking.keep)"


def _candidates(plan: SweepPlan, records: Records, standing: Standing) -> list[EnsembleCandidate]:
    """Return the best trials that have kept their weights."""

    def opened(folder: Path) -> OpenedRun:
        return open_run(str(folder), records.store.runs_dir, plan.conf_dirs)

    candidates = []
    for trial in standing.ranked[: plan.options.ensemble]:
        folders = records.finished_folds(trial)
        if all(has_weights(folder) for folder in folders):
            run = opened(trial.run_dir)
            parts = (run,) if folders == [trial.run_dir] else tuple(opened(folder) for folder in folders)
            candidates.append(EnsembleCandidate(run, parts))
    return candidates


def _place_of_refit(winner: Trial) -> str:
    """Return the place of a trial's refit; an extended sweep may find a better trial, which has its own."""
    return f"refit of trial {winner.number}"


def _refit(
    plan: SweepPlan,
    records: Records,
    run_dir: Path,
    standing: Standing,
    listen: Listener,
    run: Callable[[Job], object] | None,
) -> FinalModel:
    """Train the best trial on all rows except the final test rows, and test it."""
    winner = standing.best
    assert winner is not None
    config: dict[str, Any] = plan.trial_config(winner.params)
    estimation = replace(plan.estimation, config=config)
    place, words = _place_of_refit(winner), plan.words(winner.params)
    listen(RefitStarted())
    try:
        metrics, baselines = refit(
            estimation,
            records.children,
            run_dir,
            records.existing_folds(winner),
            listen,
            place,
            words,
            run=run,
        )
    except Exception as error:
        error.add_note(f"This was the {place}; all trials are done. {best_so_far(plan, winner)}")
        error.add_note(f"Train it: {plan.command(winner.params)}")
        raise
    run_of_refit = records.children.known[place]
    found = read_result(run_of_refit)
    if metrics:
        told = "Refitted on all other rows, and tested once on the final test rows: see test/..."
    else:
        remedy = " Add cv.test_size=0.2." if "test_size" in plan.config["cv"] else ""
        told = f"There are no final test rows: the values of the best trial are optimistic.{remedy}"
    return FinalModel(
        metrics,
        baselines,
        found.over,
        (told,),
        {"refit": found.notices},
        {"refit_run_id": run_of_refit.parent.name},
        run_of_refit,
    )
