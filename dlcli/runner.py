"""The composition root: each function reads top to bottom, from a command's words to its result."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcli.checks.profile import Profile
    from dlcli.comparison.compare import Comparison
    from dlcli.cross_validation.choice import Search
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.inference.saved_model import SavedModel
    from dlcli.result import Result
    from dlcli.splits.split import Part
    from dlcli.sweeps.cost import Forecast
    from dlcli.sweeps.plan import SweepPlan
    from dlcli.sweeps.watcher import SweepWatcher
    from dlcli.tracking.store import Store
    from dlcli.training.observer import Watcher
    from dlcli.training.rehearsal import Rehearsal


def train(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    watcher: Watcher | None = None,
    sweep_watcher: SweepWatcher | None = None,
) -> Result:
    """Train one experiment: compose, check, create the run, do its jobs.

    A fold's search for its settings (`cv=nested`) is told to `sweep_watcher`.
    """
    from dlcli.assembly.starting_weights import weights_tags
    from dlcli.checks.settings import warn
    from dlcli.distributed.ranks import leading
    from dlcli.experiment import plan_experiment
    from dlcli.job import take_part
    from dlcli.process.interrupts import interruptible
    from dlcli.runs.creation import make_run
    from dlcli.sweeps.search_in_folds import plan_nested
    from dlcli.tracking.reconcile import reconcile
    from dlcli.tracking.store import open_store

    with interruptible(), leading(take_part):
        experiment = plan_experiment(overrides, conf_dirs, runs_dir)
        search = plan_nested(experiment, overrides, sweep_watcher)
        estimation = experiment.estimation
        experiment.rehearse(quick=True)
        if watcher:
            warn(experiment, watcher.noted)

        with open_store(Path(experiment.config["runs_dir"])) as store:
            for note in [*store.notes, *reconcile(store.runs_dir, store)]:
                if watcher:
                    watcher.noted(note)
            run_dir = make_run(
                store,
                "run" if estimation.is_single else "cv",
                estimation,
                estimation.whole,
                name=f"{experiment.composed.choices['model']}-{experiment.data.name}",
                overrides=experiment.composed.overrides,
                folders=experiment.folders,
                tags=weights_tags(experiment.config),
            )
            return _carry_out(estimation, run_dir, store, watcher, search)


def sweep(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    watcher: SweepWatcher | None = None,
) -> Result:
    """Search for the best configuration: compose, check every value, create the run, do the trials."""
    from dlcli.distributed.ranks import leading
    from dlcli.formatting import amount
    from dlcli.job import take_part
    from dlcli.process.interrupts import interruptible
    from dlcli.runs.creation import make_run
    from dlcli.sweeps.cost import check_room
    from dlcli.sweeps.plan import plan_sweep
    from dlcli.tracking.reconcile import reconcile
    from dlcli.tracking.store import open_store

    with interruptible(), leading(take_part):
        plan = plan_sweep(overrides, conf_dirs, runs_dir, tell=watcher.noted if watcher else None)
        disk = check_room(plan, plan.experiment.rehearse(quick=True).disk)
        with open_store(Path(plan.config["runs_dir"])) as store:
            for note in [
                *store.notes,
                *reconcile(store.runs_dir, store),
                f"The sweep will leave about {amount(disk)} on the disk.",
            ]:
                if watcher:
                    watcher.noted(note)
            run_dir = make_run(
                store,
                "sweep",
                plan.estimation,
                plan.whole,
                name=f"sweep-{plan.experiment.data.name}",
                overrides=overrides,
                folders=plan.experiment.folders,
                params=plan.recorded_params,
            )
            return _carry_out_sweep(plan, run_dir, store, watcher)


def forecast(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Forecast:
    """What a sweep would take; nothing is recorded. Warnings are told."""
    from dlcli.process.interrupts import interruptible
    from dlcli.sweeps.cost import foresee
    from dlcli.sweeps.plan import plan_sweep

    with interruptible():
        return foresee(plan_sweep(overrides, conf_dirs, runs_dir, tell=tell))


def resume(
    run: str,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    watcher: Watcher | None = None,
    sweep_watcher: SweepWatcher | None = None,
    trust: bool = False,
) -> Result:
    """Go on with a run that was stopped, or extend one that has finished: the same runs, nothing done twice."""
    from dlcli.config.next_command import resume_command
    from dlcli.cross_validation.children import descendants
    from dlcli.distributed.ranks import leading
    from dlcli.experiment import plan_estimation
    from dlcli.job import take_part
    from dlcli.process.interrupts import interruptible
    from dlcli.resumption import NOTHING_LEFT, how_far, open_whole, plan_resumption, searches_in_folds
    from dlcli.runs.folder import read_result
    from dlcli.sweeps.replanning import plan_again, plan_nested_again
    from dlcli.tracking.resume_target import store_for_resuming, switch_store
    from dlcli.tracking.store import open_store

    with interruptible(), leading(take_part):
        opened = open_whole(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
        uri = store_for_resuming(opened.ledger, shlex.split(resume_command(opened.ledger, *overrides)))
        gate, folders = opened.claim.to_resume(opened.config)
        with gate.closed():
            resumption = plan_resumption(opened, overrides)
            if resumption is None:
                return replace(read_result(opened.folder), messages=(NOTHING_LEFT,))
            gate.admit_all(resumption.config)  # before any of it is read, or built
            carry_out: Callable[[Path, Store], Result]
            if opened.ledger.kind == "sweep":
                carry_out = partial(_carry_out_sweep, plan_again(resumption, folders), watcher=sweep_watcher)
            elif searches_in_folds(resumption.config):
                search = plan_nested_again(resumption, folders, sweep_watcher)
                carry_out = partial(_carry_out, search.estimation, watcher=watcher, search=search)
            else:
                estimation = plan_estimation(resumption.config, folders)
                opened.check_rows(estimation.data, estimation.fingerprint)
                carry_out = partial(_carry_out, estimation, watcher=watcher)
            with open_store(opened.ledger.runs_dir, uri) as store:
                moved = switch_store(store, [opened.ledger, *descendants(opened.ledger)])
                resumption.record()  # only now that all of it may go on
                for note in [*opened.notes, *store.notes, moved, how_far(opened)]:
                    if watcher and note:
                        watcher.noted(note)
                return carry_out(opened.folder, store)


def _carry_out(
    estimation: Estimation,
    run_dir: Path,
    store: Store,
    watcher: Watcher | None,
    search: Search | None = None,
) -> Result:
    """Do the jobs that are left of a run."""
    from dlcli.config.build import build
    from dlcli.cross_validation.cross_validate import cross_validate
    from dlcli.executors.base import execute
    from dlcli.tracking.reconcile import reconcile
    from dlcli.training.observer import Watcher

    watcher = watcher or Watcher()
    watcher.recording(run_dir)
    try:
        if estimation.is_single:
            watcher.planned([run_dir.parent.name], 1)
            (fold,) = estimation.folds
            return execute([estimation.job(run_dir, fold)], estimation.config, estimation.data, watcher)[0]
        tracking = build(estimation.config["tracking"], where="tracking")
        return cross_validate(
            estimation, run_dir, store, watcher, system_metrics=tracking.system_metrics, search=search
        )
    except BaseException:
        store.close()
        reconcile(store.runs_dir, store)  # folds that were not begun, or whose worker is gone
        raise


def _carry_out_sweep(plan: SweepPlan, run_dir: Path, store: Store, watcher: SweepWatcher | None) -> Result:
    """Do the trials that are left of a sweep."""
    from dlcli.config.build import build
    from dlcli.sweeps.sweep import sweep
    from dlcli.sweeps.watcher import SweepWatcher
    from dlcli.tracking.reconcile import reconcile

    watcher = watcher or SweepWatcher()
    watcher.recording(run_dir)
    tracking = build(plan.config["tracking"], where="tracking")
    try:
        return sweep(plan, run_dir, store, watcher, system_metrics=tracking.system_metrics)
    except BaseException:
        store.close()
        reconcile(store.runs_dir, store)  # trials and folds that were not begun, or whose worker is gone
        raise


def check(
    overrides: Sequence[str] = (), conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None
) -> tuple[Rehearsal, Profile]:
    """Find every mistake, train a few batches that nobody records, and look at the data."""
    from dlcli.checks.profile import profile
    from dlcli.checks.settings import find_config_warnings
    from dlcli.experiment import plan_experiment
    from dlcli.process.interrupts import interruptible
    from dlcli.sweeps.search_in_folds import plan_nested

    with interruptible():
        experiment = plan_experiment(overrides, conf_dirs, runs_dir, thorough=True)
        plan_nested(experiment, overrides)
        data = profile(experiment.data, experiment.splits)
        doubts = tuple(find_config_warnings(experiment.config))
        return experiment.rehearse(), replace(data, warnings=(*doubts, *data.warnings))


def evaluate(
    run: str,
    part: Part = "test",
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    overrides: Sequence[str] = (),
    file: Path | None = None,
) -> Result:
    """Repeat a run's figures: its saved model on the raw rows of one part of its split, or on those of a file."""
    import numpy as np

    from dlcli.inference.evaluate import choose_device, figures
    from dlcli.inference.evaluate import evaluate as judge
    from dlcli.prediction.evaluation_file import labelled_rows
    from dlcli.result import Result
    from dlcli.runs.folder import open_run, with_overrides

    started = time.monotonic()
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    config = with_overrides(opened.config, overrides)
    model = opened.load_model()
    if file is None:
        data, rows = opened.part_of(config["dataset"], part)
    else:
        with opened.gate.closed():
            data = labelled_rows(config["dataset"], file, model)
        part, rows = "test", np.arange(len(data))
    evaluation = judge(model, data, rows, choose_device(config["trainer"].get("accelerator", "auto")))
    metrics, baselines = figures({part: evaluation})
    return Result(
        status="FINISHED",
        run_id=opened.ledger.run_id,
        run_name=opened.ledger.run_name,
        experiment=opened.ledger.experiment,
        run_dir=opened.folder,
        tracking_uri=opened.ledger.store_uri,
        metrics=metrics,
        baselines=baselines,
        duration_s=round(time.monotonic() - started, 3),
        messages=opened.notes,
    )


def compare(
    runs: Sequence[str], metric: str | None = None, picture: Path | None = None, runs_dir: Path | None = None
) -> Comparison:
    """What differs between runs, and whether one is really better."""
    from dlcli.comparison.compare import compare as compare_runs
    from dlcli.comparison.critical_difference import critical_difference
    from dlcli.errors import InputError
    from dlcli.reports.style import save

    found = compare_runs(runs, runs_directory(runs_dir), metric)
    if picture is not None:
        if found.ranking is None:
            raise InputError(
                "there are no ranks to draw", "--picture", "They need three runs on the same folds."
            )
        save(critical_difference(found.runs, found.ranking, found.metric), picture)
    return found


def load_run(
    run: str, *, conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None, trust: bool = False
) -> SavedModel:
    """A run's saved model."""
    from dlcli.runs.folder import open_run

    return open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust).load_model()


def ui(port: int, runs_dir: Path | None, tell: Callable[[str], None]) -> None:
    """Serve the MLflow UI of the store until it is stopped."""
    from dlcli.tracking.reconcile import reconcile
    from dlcli.tracking.server import serve_ui
    from dlcli.tracking.store import open_store

    with open_store(runs_directory(runs_dir)) as store:
        for note in [*store.notes, *reconcile(store.runs_dir, store)]:
            tell(note)
        uri = store.uri
    serve_ui(uri, port, tell)


def runs_directory(given: Path | None) -> Path:
    """Where runs lie, for commands that compose no configuration."""
    from dlcli.config.project import default_runs_dir

    return given or default_runs_dir()
