"""A job: one configuration on one split. `run_job` is the only function that trains.

A job is plain data, so that it runs in this process, in a worker, or as `python -m dlcli.job FILE`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.seed import isolate_rng

from dlcli.assembly.automatic import describe_choices
from dlcli.assembly.feature_cache import with_features
from dlcli.assembly.finder_run import run_finder, settle
from dlcli.assembly.judge_training import with_judge
from dlcli.assembly.optimization import describe_optimizer, make_recipe
from dlcli.assembly.parts import Parts, assemble
from dlcli.assembly.solved_head import solve_head, told_of_head
from dlcli.assembly.tree_baseline import add_trees
from dlcli.assembly.tree_verdict import verdict_on_rows
from dlcli.assembly.tuned_model import LAST_FITTED, describe_tuning, reload_tuned
from dlcli.config.build import build
from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice, as_plain, notice_metrics, sentences
from dlcli.datasets.raw_rows import load_data
from dlcli.datasets.reading.column_notices import column_notices
from dlcli.distributed.ranks import gathered, run_rank
from dlcli.distributed.world import World
from dlcli.errors import Pruned
from dlcli.events import EpochDone, Event, Listener, TrainingEnded, TrainingStarted, ignore
from dlcli.files.disk import disk_errors
from dlcli.gate.gate import current
from dlcli.inference.evaluation import evaluate_rows, figures, named_baselines, notices_on_loss, save_outputs
from dlcli.inference.latency import LATENCY, latency_ms
from dlcli.inference.measured_coverage import measured_coverage
from dlcli.inference.mlflow_rows import add_rows_for_mlflow
from dlcli.inference.partial_means import means_over, notices_on_means
from dlcli.inference.write_model import save_model
from dlcli.preprocessing.fitted import FittedPreprocessing
from dlcli.preprocessing.protocols import notices_of
from dlcli.process.program import run_program
from dlcli.reports.generation_report import report_generation
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.reports.run_report import write_report
from dlcli.reports.summary import panel_rows, summarize_known, unseen_in_evaluation
from dlcli.result import Result, against_trees
from dlcli.runs.folder import read_result, recorded_baselines, recorded_epochs
from dlcli.runs.recorded import check_subfolders, read_split
from dlcli.runs.stop_notes import noting_stops
from dlcli.sanitize.presentable import present_process
from dlcli.splits.split import Part, Split
from dlcli.tasks.calibration import calibration_figures
from dlcli.tracking.best_epoch import BEST_EPOCH
from dlcli.tracking.digests import forget_results
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.mlflow_tags import CHECKPOINT_TAG, PRUNED_TAG, TUNED_TAG
from dlcli.tracking.recorder import Recorder
from dlcli.training.due_steps import Pausing, run_alone
from dlcli.training.fields import first_rows
from dlcli.training.fit import FitResult, fit
from dlcli.training.restoration import place_of_checkpoints, restore_checkpoints
from dlcli.training.step_profiler import profile_messages

JUDGED: tuple[Part, ...] = ("val", "test")  # the parts of a split that the best weights are evaluated on
SHARING = "sharing"  # entry of the result on steps shared with other runs: the fields of `StepSharing`


@dataclass(frozen=True)
class Job:
    """One training run to do: a configuration on one split, as plain data without open resources.

    Attributes:
        config: the resolved configuration.
        run_dir: the run's folder, in which the driver has written `split.npz`.
        seed: seed of initial weights, order of rows and dropout.
        code: folders of the user's own code, appended to `sys.path`.
        slim: whether it is a fold or a trial, which has no plots and system metrics of its own, and saves its outputs
            for its parent.
        keep_last: whether the last epoch counts as the best one, because there are no validation rows.
        times_rows: whether to measure the network's latency.
        final_test: number of rows that are set aside for the final test; 0 if they are the test rows of the split.
        tuned: facts that the task has tuned on rows that folds hold out; None to tune on the split's validation rows.
    """

    config: dict[str, Any]
    run_dir: str
    seed: int
    code: tuple[str, ...] = ()
    slim: bool = False
    keep_last: bool = False
    times_rows: bool = False
    final_test: int = 0
    tuned: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if gate := current():  # names in a resumed run's folder are checked before a worker gets them
            gate.admit_all(self.config)

    def to_json(self) -> str:
        """Return the job as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job of a JSON text."""
        fields = json.loads(text)
        return cls(**{**fields, "code": tuple(fields["code"])})


def run_job(job: Job, listen: Listener = ignore) -> Result:
    """Run a job to its end: see `pausing_job`."""
    return run_alone(pausing_job(job, listen))


def pausing_job(job: Job, listen: Listener = ignore) -> Pausing[Result]:
    """Fit the preprocessing, train, evaluate the best epoch on validation and test rows, and record everything.

    A run that was stopped continues from its last checkpoint. `listen` receives the job's events. The job pauses for
    its steps, which can be taken together with those of other jobs.

    Raises:
        TrainingError: training failed; the run is recorded as FAILED.
        Pruned: the listener raised it after an epoch; the run is recorded as KILLED, with a tag.
        Interrupted: a signal was received; the run is recorded as KILLED.
    """
    started = time.monotonic()
    run_dir = Path(job.run_dir)
    sys.path.extend(folder for folder in job.code if folder not in sys.path)
    tracking = build(job.config["tracking"], where="tracking")
    with (
        Recorder(run_dir, system_metrics=tracking.system_metrics and not job.slim) as recorder,
        disk_errors(run_dir),
        noting_stops(recorder.ledger),
    ):
        check_subfolders(run_dir)
        data = load_data(job.config["dataset"])
        split = read_split(recorder.ledger, len(data))
        missing = MissingPictures()
        fitted, prepared, notices = yield from _train(job, data, split, recorder, listen, missing)
        listen(TrainingEnded())
        # The model is evaluated from its files, which `eval` and `predict` read in the same way.
        model, features, tuned = reload_tuned(job.config, run_dir, data, split, fitted.device, job.tuned)
        evaluations = {
            part: evaluate_rows(model, data, split.rows(part), fitted.device, features)
            for part in JUDGED
            if len(split.rows(part))
        }
        beside = add_trees(job.config, data, prepared, job.seed, model.task, evaluations, is_slim=job.slim)
        beside += notices_on_loss(model.task, evaluations)
        beside += notices_on_means(model.task, evaluations, is_fold=recorder.ledger.kind == "fold")
        made = report_generation(run_dir, model, data, split, fitted, None if job.slim else missing)
        over = means_over(evaluations)
        of_means = {f"over/{name}": float(number) for name, number in over.items()}
        recorder.log(notice_metrics(beside) | of_means | made.figures, step=0)
        metrics, baselines = figures(evaluations)
        covered, coverage_sentences = measured_coverage(model.task, evaluations)
        metrics |= {name: fact for name, fact in tuned.items() if isinstance(fact, float)} | covered
        if job.times_rows:
            recorder.log({LATENCY: latency_ms(model, data, split.val, fitted.device)}, step=0)
        if not job.slim:
            add_rows_for_mlflow(run_dir / "model", model, fitted.device)
        diagnosis = write_report(
            run_dir,
            model,
            data,
            fitted,
            evaluations,
            job.config,
            pictures=None if job.slim else missing,
            run_name=recorder.ledger.run_name,
            is_fold=recorder.ledger.kind == "fold",
            train=split.train,
        )
        beside += missing.notices(run_dir)
        if job.slim and "test" in evaluations:
            save_outputs(run_dir, model, data, evaluations["test"], fitted.device, features)
        recorder.tag("mlflow.note.content", diagnosis, at_end=True)  # MLflow shows this as the description
        # MLflow shows the last epoch of a metric; the main ones of the best epoch are recorded beside it.
        main = dict.fromkeys([job.config["monitor"], "val/loss", f"val/{model.task.metric_names[0]}"])
        best = {f"best/{name}": metrics[name] for name in main if name[:4] == "val/" and name in metrics}
        found = describe_tuning(model.task, tuned, split, given=job.tuned is not None)
        for name, texts in {TUNED_TAG: found, CHECKPOINT_TAG: filter(None, [fitted.note])}.items():
            for text in texts:
                recorder.tag(name, text, at_end=True)
        notes = [*sentences(notices_of(model.preprocessing)), *filter(None, [fitted.note]), *found]
        notes += named_baselines(model.task, evaluations)
        notes += told_of_head(job.config, fitted.history, fitted.best_epoch) + coverage_sentences
        notes += against_trees(metrics, baselines, verdict_on_rows(model.task, evaluations))
        notes += [*(one.text for one in beside), *made.messages, *profile_messages(run_dir), diagnosis]
        recorder.finish(
            {
                **metrics,
                **best,
                **recorded_baselines(baselines),
                **calibration_figures(tuned),
                BEST_EPOCH: fitted.best_epoch + 1,
            },
            result={
                "metrics": list(metrics),
                "over": over,
                "scales": model.task.scales(),
                "duration_s": round(
                    recorder.ledger.earlier_s + time.monotonic() - started - fitted.sharing.waited, 3
                ),
                **_sharing(job, fitted, recorder.ledger),
                "notices": as_plain([*notices, *beside]),
                "messages": notes,
            },
        )
    return read_result(run_dir)


def _sharing(job: Job, fitted: FitResult, ledger: Ledger) -> dict[str, Any]:
    """Return the entry of the result; an extended run may have an earlier one, which is replaced."""
    is_asked = job.config["executor"].get("stack") or SHARING in ledger.result
    return {SHARING: asdict(fitted.sharing)} if is_asked else {}


def _train(
    job: Job, data: Data, split: Split, recorder: Recorder, listen: Listener, missing: MissingPictures
) -> Pausing[tuple[FitResult, FittedPreprocessing, list[Notice]]]:
    """Fit preprocessing and network on the training rows; write the model folder with the best epoch's weights.

    Returns:
        The fitted network, the fitted preprocessing, and notices on values that were left out or converted.
    """
    config, run_dir = job.config, Path(job.run_dir)
    with isolate_rng():  # preserves the random state, for example that of a notebook
        parts = assemble(config, data, split, job.seed)
        network = parts.network
        summary = summarize_known(network, first_rows(parts.train, 1), config["model"])
        atomic_write(run_dir / "model_summary.txt", summary.text, durable=False)
        recorder.log(summary.figures, step=0)
        recorder.tag("dlcli.preprocessing", parts.fitted.proof(data, split), at_end=True)
        own = column_notices(parts.columns) if parts.columns is not None else []
        unseen = unseen_in_evaluation(data, split, parts.columns, parts.preprocessing, parts.task)
        lost = parts.notices
        notices = [*data.told, *own, *unseen, *lost]
        recorder.log(notice_metrics(notices), step=0)
        restore_checkpoints(recorder.ledger)
        parts, judge = with_judge(config, parts)
        parts, cached = with_features(config, parts, data, split, run_dir.parents[2], listen)
        cached |= solve_head(config, parts, data, split, run_dir.parents[2], listen)
        found = run_finder(config, parts, job.seed)
        config = settle(config, found, run_dir, recorder, missing)
        notices += found.notices if found else ()
        with gathered(config) as (config, world):
            if world:
                world.send_job(replace(job, config=config).to_json())
            fitted = yield from fit(
                **_fit_arguments(replace(job, config=config), parts),
                listen=partial(_record, recorder, listen),
                description=panel_rows(
                    data,
                    split,
                    network,
                    parts.fitted,
                    parts.task,
                    summary,
                    run_dir,
                    parts.columns,
                    notices=lost,
                    is_fold=recorder.ledger.kind == "fold",
                    final_test=job.final_test,
                )
                | {**cached, **judge}
                | describe_optimizer(config, network.model)
                | describe_choices(recorder.ledger.tags, config)
                | ({"found": f"{found.key}={found.value}: {found.reason}"} if found else {}),
                world=world,
            )
    forget_results(recorder.ledger)
    save_model(
        run_dir / "model",
        weights=fitted.best_weights,
        preprocessing=parts.preprocessing,
        model=config["model"],
        task=config["task"],
        metric=config.get("metric"),
        kind=data.kind,
        image_kinds=data.kinds,
        model_facts=parts.facts,
        task_facts=parts.target_facts,
        run_id=recorder.ledger.run_id,
        columns=parts.columns,
        durable=not job.slim,
        last_fitted=LAST_FITTED,
    )
    return fitted, parts.fitted, notices


def _fit_arguments(job: Job, parts: Parts) -> dict[str, Any]:
    """Return the arguments of `fit` that all ranks of a job share."""
    ledger = Ledger.load(Path(job.run_dir))
    return {
        "network": parts.network,
        "task": parts.task,
        "train": parts.train,
        "val": parts.val,
        "recipe": make_recipe(
            job.config, parts.train, job.seed, keep_last=job.keep_last, saves_bounds=not job.slim
        ),
        "earlier": recorded_epochs(ledger.run_dir, ledger),
        **place_of_checkpoints(ledger),
    }


def take_part(text: str, world: World) -> None:
    """Train as another rank on the job of rank 0 (`Job.to_json`), without recording anything."""
    job = Job.from_json(text)
    sys.path.extend(folder for folder in job.code if folder not in sys.path)
    data, split = load_data(job.config["dataset"]), read_split(Ledger.load(Path(job.run_dir)))
    with isolate_rng():
        parts, _ = with_judge(job.config, assemble(job.config, data, split, job.seed))
        parts, _ = with_features(job.config, parts, data, split, Path(job.run_dir).parents[2], ignore)
        solve_head(job.config, parts, data, split, Path(job.run_dir).parents[2], ignore)
        run_alone(fit(**_fit_arguments(job, parts), listen=ignore, description={}, world=world))


def _record(recorder: Recorder, listen: Listener, event: Event) -> None:
    """Record the description of the run and the metrics of epochs, and pass every event on."""
    if isinstance(event, TrainingStarted) and recorder.ledger.kind != "trial":
        recorder.describe(event.description)
    if isinstance(event, EpochDone):
        recorder.log_epoch(event.epoch, event.metrics)
    try:
        listen(event)
    except Pruned:
        if isinstance(event, EpochDone):
            recorder.tag(PRUNED_TAG, f"after epoch {event.epoch + 1}")
        raise


def main() -> None:
    """Run the job in a file (`python -m dlcli.job FILE`); without a file, run as a rank that takes jobs from rank 0."""
    present_process()
    if len(sys.argv) < 2:
        sys.exit(run_rank(take_part))
    run_job(Job.from_json(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    run_program(main)
