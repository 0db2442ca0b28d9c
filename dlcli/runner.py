"""The composition root: each function reads top to bottom, from the arguments of a command to its result."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.config.misspelt import refuse_misspelt
from dlcli.config.next_command import resume_command
from dlcli.config.project import default_runs_dir
from dlcli.errors import InputError
from dlcli.events import Listener, Note, RunOpened, ignore
from dlcli.formatting import amount
from dlcli.result import Result
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.resume_target import store_for_resuming, switch_store
from dlcli.tracking.server import serve_ui
from dlcli.tracking.store import Store, open_store

if TYPE_CHECKING:
    from dlcli.checks.profile import Profile
    from dlcli.comparison.compare import Comparison
    from dlcli.exporting.export import Exported
    from dlcli.inference.saved_model import SavedModel
    from dlcli.prediction.output import Write
    from dlcli.prediction.predict import NewData, Predicted
    from dlcli.splits.split import Part
    from dlcli.sweeps.cost import CostEstimate
    from dlcli.training.rehearsal import Rehearsal


def train(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
) -> Result:
    """Train one experiment: compose, check, create the run, and run its jobs.

    `listen` receives the events. Without it, settings and data are not searched for warnings.
    """
    refuse_misspelt(overrides, conf_dirs)  # before the imports below, which take seconds

    from dlcli.assembly.starting_weights import weights_tags
    from dlcli.checks.settings import warn
    from dlcli.cross_validation.choice import searches_in_folds
    from dlcli.cross_validation.cross_validate import cross_validate
    from dlcli.distributed.ranks import leading
    from dlcli.experiment import plan_experiment
    from dlcli.job import take_part
    from dlcli.runs.creation import make_run
    from dlcli.sweeps.search_in_folds import plan_nested

    with leading(take_part):
        experiment = plan_experiment(overrides, conf_dirs, runs_dir)
        nested = searches_in_folds(experiment.config)
        search = plan_nested(experiment, overrides, listen) if nested else None
        estimation = experiment.estimation
        experiment.rehearse(quick=True)
        if listen is not ignore:
            warn(experiment, lambda text: listen(Note(text)))

        with open_store(Path(experiment.config["runs_dir"])) as store:
            for note in [*store.notes, *reconcile(store.runs_dir, store)]:
                listen(Note(note))
            run_dir = make_run(
                store,
                "run" if estimation.is_single else "cv",
                estimation,
                estimation.whole,
                name=f"{experiment.composed.choices['model']}-{experiment.data.name}",
                overrides=overrides,  # as typed, without what the data decided
                folders=experiment.folders,
                tags=weights_tags(experiment.config),
            )
            with _recording(run_dir, store, listen):
                return cross_validate(estimation, run_dir, store, listen, search)


def sweep(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
) -> Result:
    """Search for the best configuration: compose, check every value, create the run, and run the trials."""
    from dlcli.distributed.ranks import leading
    from dlcli.job import take_part
    from dlcli.runs.creation import make_run
    from dlcli.sweeps.cost import check_room
    from dlcli.sweeps.planning import plan_sweep
    from dlcli.sweeps.sweep import run_sweep

    with leading(take_part):
        tell = None if listen is ignore else lambda text: listen(Note(text))
        plan = plan_sweep(overrides, conf_dirs, runs_dir, tell=tell)
        disk = check_room(plan, plan.experiment.rehearse(quick=True).disk)
        with open_store(Path(plan.config["runs_dir"])) as store:
            for note in [
                *store.notes,
                *reconcile(store.runs_dir, store),
                f"The sweep will leave about {amount(disk)} on the disk.",
            ]:
                listen(Note(note))
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
            with _recording(run_dir, store, listen):
                return run_sweep(plan, run_dir, store, listen)


def forecast(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> CostEstimate:
    """Estimate what a sweep would take, without recording anything; `tell` receives warnings."""
    from dlcli.sweeps.cost import estimate_cost
    from dlcli.sweeps.planning import plan_sweep

    return estimate_cost(plan_sweep(overrides, conf_dirs, runs_dir, tell=tell))


def resume(
    run: str,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
    trust: bool = False,
) -> Result:
    """Continue a run that was stopped, or extend a finished one, in the same runs and without repeating work."""
    from dlcli.cross_validation.children import descendants
    from dlcli.cross_validation.choice import searches_in_folds
    from dlcli.cross_validation.cross_validate import cross_validate
    from dlcli.distributed.ranks import leading
    from dlcli.experiment import plan_estimation
    from dlcli.job import take_part
    from dlcli.resumption import NOTHING_LEFT, how_far, open_whole, plan_resumption
    from dlcli.runs.folder import read_result
    from dlcli.sweeps.replanning import plan_again, plan_nested_again
    from dlcli.sweeps.sweep import run_sweep

    with leading(take_part):
        opened = open_whole(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
        uri = store_for_resuming(opened.ledger, shlex.split(resume_command(opened.ledger, *overrides)))
        gate, folders = opened.claim.to_resume(opened.config)
        with gate.closed():
            resumption = plan_resumption(opened, overrides)
            if resumption is None:
                return replace(read_result(opened.folder), messages=(NOTHING_LEFT,))
            gate.admit_all(resumption.config)  # before anything is read or built
            carry_out: Callable[[Path, Store], Result]
            if opened.ledger.kind == "sweep":
                carry_out = partial(run_sweep, plan_again(resumption, folders), listen=listen)
            elif searches_in_folds(resumption.config):
                nested = plan_nested_again(resumption, folders, listen)
                carry_out = partial(cross_validate, nested.estimation, listen=listen, search=nested)
            else:
                estimation = plan_estimation(resumption.config, folders)
                opened.check_rows(estimation.data, estimation.fingerprint)
                carry_out = partial(cross_validate, estimation, listen=listen)
            with open_store(opened.ledger.runs_dir, uri) as store:
                moved = switch_store(store, [opened.ledger, *descendants(opened.ledger)])
                resumption.record()  # only after all checks have passed
                for note in filter(None, [*opened.notes, *store.notes, moved, how_far(opened)]):
                    listen(Note(note))
                with _recording(opened.folder, store, listen):
                    return carry_out(opened.folder, store)


@contextmanager
def _recording(run_dir: Path, store: Store, listen: Listener) -> Iterator[None]:
    """Announce a run; if an exception ends its jobs, record the end of child runs without a process."""
    listen(RunOpened(run_dir))
    try:
        yield
    except BaseException:
        store.close()
        reconcile(store.runs_dir, store)  # folds and trials that did not start, or whose worker has ended
        raise


def check(
    overrides: Sequence[str] = (), conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None
) -> tuple[Rehearsal, Profile]:
    """Find all mistakes, train a few batches without recording them, and profile the data."""
    from dlcli.checks.profile import profile
    from dlcli.checks.settings import find_config_warnings
    from dlcli.cross_validation.choice import searches_in_folds
    from dlcli.datasets.notices import warnings_of
    from dlcli.experiment import plan_experiment
    from dlcli.sweeps.search_in_folds import plan_nested

    experiment = plan_experiment(overrides, conf_dirs, runs_dir, thorough=True)
    if searches_in_folds(experiment.config):
        plan_nested(experiment, overrides)
    data = profile(experiment.data, experiment.splits)
    doubts = tuple(find_config_warnings(experiment.config, experiment.splits))
    rehearsal = experiment.rehearse()
    lost = warnings_of(rehearsal.notices)
    rehearsal = replace(rehearsal, notices=(*experiment.data.notices, *rehearsal.notices))
    return rehearsal, replace(data, warnings=(*doubts, *data.warnings, *lost))


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
    """Evaluate a run's saved model on the raw rows of one part of its split, or on those of a file."""
    import numpy as np

    from dlcli.datasets.notices import as_plain
    from dlcli.inference.evaluate import choose_device, evaluate_rows, figures
    from dlcli.prediction.evaluation_file import labelled_rows, notices_on_file
    from dlcli.runs.folder import open_run, with_overrides
    from dlcli.runs.model_errors import model_errors

    started = time.monotonic()
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    config, model = with_overrides(opened.config, overrides), opened.load_model()
    if file is None:
        data, rows = opened.part_of(config["dataset"], part)
    else:
        with opened.gate.closed():
            data = labelled_rows(config["dataset"], file, model)
        part, rows = "test", np.arange(len(data))
    counts: Counter[str] = Counter()
    device = choose_device(config["trainer"].get("accelerator", "auto"))
    with model_errors(opened.folder):
        evaluation = evaluate_rows(model, data, rows, device, counts=counts)
    notices = [*(notices_on_file(data, model, file) if file else ()), *model.notices(counts)]
    metrics, baselines = figures({part: evaluation})
    return Result.of(
        opened.ledger,
        opened.folder,
        status="FINISHED",
        metrics=metrics,
        baselines=baselines,
        duration_s=round(time.monotonic() - started, 3),
        notices=tuple(as_plain(notices)),
        messages=(*opened.notes, *(f"{notice.text}." for notice in notices if notice.warns)),
    )


def predict(
    run: str,
    data: NewData,
    output: Path | AbstractContextManager[Write],
    *,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    listen: Listener = ignore,
) -> Predicted:
    """Predict new rows with a run's saved model, and write the predictions to a file or to what `output` opens."""
    from dlcli.prediction.output import check_output, written_to
    from dlcli.prediction.predict import Predicted, predict_rows
    from dlcli.runs.folder import open_run

    if isinstance(output, Path):
        check_output(output, data.files)
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust)
    model = opened.load_model()
    for note in opened.notes:
        listen(Note(note))
    with written_to(output) if isinstance(output, Path) else output as write:
        lines, notices = predict_rows(opened, model, data, write, device=device, listen=listen)
    return Predicted(opened.ledger.run_id, opened.ledger.run_name, opened.folder, lines, tuple(notices))


def export(
    run: str,
    output: Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
) -> Exported:
    """Write a run's network as a file that needs no dlcli; `overrides` say where the run's rows are now."""
    from dlcli.exporting.export import export_network
    from dlcli.runs.folder import open_run

    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    return export_network(opened, opened.load_model(), output, overrides)


def compare(
    runs: Sequence[str], metric: str | None = None, picture: Path | None = None, runs_dir: Path | None = None
) -> Comparison:
    """Return what differs between runs, and whether one is significantly better."""
    from dlcli.comparison.compare import compare_runs
    from dlcli.comparison.critical_difference import critical_difference
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
    """Return a run's saved model."""
    from dlcli.runs.folder import open_run

    return open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust).load_model()


def ui(port: int, runs_dir: Path | None, tell: Callable[[str], None]) -> None:
    """Serve the MLflow UI of the store until it is stopped; `tell` receives messages."""
    with open_store(runs_directory(runs_dir)) as store:
        for note in [*store.notes, *reconcile(store.runs_dir, store)]:
            tell(note)
        uri = store.uri
    serve_ui(uri, port, tell)


def runs_directory(given: Path | None) -> Path:
    """Return the folder of all runs, for commands that compose no configuration."""
    return given or default_runs_dir()
