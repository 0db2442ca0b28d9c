"""A job: one configuration on one split. `run_job` is the only way in which dlcli trains.

A job is plain data, so that it runs in this process, in a worker, or as `python -m dlcli.job FILE`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.assembly.feature_cache import cached_features, with_features
from dlcli.assembly.finder_run import find, settle
from dlcli.assembly.optimization import make_recipe
from dlcli.config.build import build
from dlcli.config.next_command import resume_command
from dlcli.datasets.raw_rows import load_data
from dlcli.errors import Interrupted, Pruned, TrainingError
from dlcli.files.paths import display
from dlcli.gate.gate import current
from dlcli.process.program import run_program
from dlcli.result import Result
from dlcli.runs.contents import check_subfolders
from dlcli.runs.folder import read_result, recorded_baselines, recorded_epochs
from dlcli.runs.recorded import read_split
from dlcli.sanitize.presentable import present_process
from dlcli.tracking.digests import forget_results
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.tags import CHECKPOINT_TAG, PRUNED_TAG
from dlcli.training.observer import Observer, Plan

if TYPE_CHECKING:
    import torch

    from dlcli.assembly.parts import Parts
    from dlcli.datasets.data import Data
    from dlcli.distributed.world import World
    from dlcli.inference.saved_model import SavedModel
    from dlcli.splits.split import Part, Split
    from dlcli.tracking.recorder import Recorder
    from dlcli.training.features import Features
    from dlcli.training.fit import Fitted

# Milliseconds of a forward pass of one row: measured only where a search asks for it.
LATENCY = "model/latency_ms"

TUNED_TAG = "dlcli.tuned"

# The parts of a split that the best weights are judged on.
JUDGED: tuple[Part, ...] = ("val", "test")


@dataclass(frozen=True)
class Job:
    """What to train: all of it plain, nothing that is open or alive.

    Attributes:
        config: the resolved configuration.
        run_dir: the run's folder; the driver has put `split.npz` there.
        seed: of weights, order and dropout.
        code: folders of the user's own code, appended to `sys.path`.
        slim: a fold or a trial, one of many: leaves the pictures and the machine's figures to its parent, and keeps
            its outputs for it.
        keep_last: the last epoch counts as the best; for where there is nothing to choose by.
        times_rows: measures the network's latency, too.
    """

    config: dict[str, Any]
    run_dir: str
    seed: int
    code: tuple[str, ...] = ()
    slim: bool = False
    keep_last: bool = False
    times_rows: bool = False

    def __post_init__(self) -> None:
        if (
            gate := current()
        ):  # of a run that goes on: what its folder named is judged before a worker gets it
            gate.admit_all(self.config)

    def to_json(self) -> str:
        """The job as a file's content."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job of a file's content."""
        fields = json.loads(text)
        return cls(**{**fields, "code": tuple(fields["code"])})


def run_job(job: Job, observer: Observer | None = None) -> Result:
    """Fit the preprocessing, train, judge the best epoch on val and test, and record all of it.

    A run that was stopped goes on from its last checkpoint.

    Raises:
        TrainingError: the training failed; the run is marked FAILED.
        Pruned: the observer found it hopeless; the run is marked KILLED, and tagged.
        Interrupted: a signal came; the run is marked KILLED.
    """
    from dlcli.files.disk import disk_errors
    from dlcli.inference.evaluate import evaluate, figures, named_baselines, save_outputs
    from dlcli.inference.latency import latency_ms
    from dlcli.reports.report import write_report
    from dlcli.tracking.recorder import Recorder

    started = time.monotonic()
    run_dir = Path(job.run_dir)
    sys.path.extend(folder for folder in job.code if folder not in sys.path)
    tracking = build(job.config["tracking"], where="tracking")
    with (
        Recorder(run_dir, system_metrics=tracking.system_metrics and not job.slim) as recorder,
        disk_errors(run_dir),
        _naming(recorder.ledger),
    ):
        check_subfolders(run_dir)
        data = load_data(job.config["dataset"])
        split = read_split(recorder.ledger, len(data))
        observer = observer or Observer()
        fitted = _train(job, data, split, recorder, observer)
        observer.trained()
        # What is judged is what lies on the disk: the same files, on the same path, that eval and predict read.
        model, features, tuned = _reload(job.config, run_dir, data, split, fitted.device)
        evaluations = {
            part: evaluate(model, data, split.rows(part), fitted.device, features)
            for part in JUDGED
            if len(split.rows(part))
        }
        metrics, baselines = figures(evaluations)
        metrics |= {name: fact for name, fact in tuned.items() if isinstance(fact, float)}
        if job.times_rows:
            recorder.log({LATENCY: latency_ms(model, data, split.val, fitted.device)}, step=0)
        diagnosis = write_report(
            run_dir, model, data, fitted, evaluations, job.config["monitor"], pictures=not job.slim
        )
        if job.slim and "test" in evaluations:
            save_outputs(run_dir, evaluations["test"])
        recorder.tag("mlflow.note.content", diagnosis)  # what MLflow shows as the description
        # MLflow shows a metric's last epoch; the best epoch's figures on val stand beside it.
        best = {f"best/{name}": value for name, value in metrics.items() if name.startswith("val/")}
        found = [f"{model.task.tuned()}, found on the {len(split.val):,} validation rows"] if tuned else []
        for text in found:
            recorder.tag(TUNED_TAG, text)
        if fitted.note:
            recorder.tag(CHECKPOINT_TAG, fitted.note)
        told = [*filter(None, [fitted.note]), *found, *named_baselines(model.task, evaluations)]
        recorder.finish(
            {**metrics, **best, **recorded_baselines(baselines), "best_epoch": fitted.best_epoch},
            result={
                "metrics": list(metrics),
                "duration_s": round(time.monotonic() - started, 3),
                "messages": [*told, *_profiled(run_dir), diagnosis],
            },
        )
    return read_result(run_dir)


def _profiled(run_dir: Path) -> list[str]:
    """Where to look, where steps were profiled."""
    from dlcli.training.step_profiler import TABLE, TRACE

    folder = run_dir / "profile"
    if not (folder / TRACE).exists():
        return []
    return [f"Profiled: {display(folder)} has {TABLE}, and {TRACE} for ui.perfetto.dev or chrome://tracing"]


@contextmanager
def _naming(ledger: Ledger) -> Iterator[None]:
    """Whatever stops a job says where its record is, and how it goes on: a fold with its whole cross-validation."""
    where = display(ledger.run_dir)
    kept = f"The run is FAILED, and what it has done so far is kept, in {where}"
    try:
        yield
    except Pruned:
        raise
    except Interrupted as interrupt:
        interrupt.add_note(f"Its last checkpoint is kept in {where}")
        interrupt.add_note(f"Go on with it: {resume_command(ledger)}")
        raise
    except SystemExit as end:  # a model that leaves has failed like any other; others of a sweep go on
        failed = TrainingError(f"the model's own code ended the program: SystemExit: {end.code}")
        failed.add_note(kept)
        raise failed from end
    except Exception as error:
        error.add_note(kept)
        raise


def _train(job: Job, data: Data, split: Split, recorder: Recorder, observer: Observer) -> Fitted:
    """Fit preprocessing and network on the training rows; write the model folder with the best epoch's weights."""
    from pytorch_lightning.utilities.seed import isolate_rng

    from dlcli.assembly.parts import assemble
    from dlcli.distributed.ranks import gathered
    from dlcli.inference.saved_model import save_model
    from dlcli.reports.summary import describe, summarize
    from dlcli.tracking.ledger import atomic_write
    from dlcli.training.fields import first_rows
    from dlcli.training.restoration import restore_checkpoints

    config, run_dir = job.config, Path(job.run_dir)
    # A notebook's own random state stays as it was.
    with isolate_rng():
        parts = assemble(config, data, split, job.seed)
        network = parts.network
        summary = summarize(network, first_rows(parts.train, 1))
        atomic_write(run_dir / "model_summary.txt", summary.text)
        recorder.log(
            {
                "model/parameters": summary.parameters,
                "model/trainable_parameters": summary.trainable,
                "model/multiply_adds": summary.multiply_adds,
            },
            step=0,
        )
        recorder.tag("dlcli.preprocessing", parts.fitted.proof(data, split))
        restore_checkpoints(recorder.ledger)
        parts, said = with_features(config, parts, data, split, run_dir.parents[2], observer)
        found = find(config, parts, job.seed)
        if found is not None:
            config = settle(config, found, run_dir, recorder)
        with gathered(config) as (config, world):
            if world:
                world.send_job(replace(job, config=config).to_json())
            fitted = _fit(
                replace(job, config=config),
                parts,
                world,
                _Recording(recorder, observer),
                describe(data, split, network, parts.fitted, parts.task, summary, run_dir)
                | said
                | ({"found": f"{found.key}={found.value}: {found.reason}"} if found else {}),
            )
    forget_results(recorder.ledger)
    save_model(
        run_dir / "model",
        weights=fitted.best_weights,
        preprocessing=parts.preprocessing,
        model=config["model"],
        task=config["task"],
        kind=data.kind,
        model_facts=parts.facts,
        task_facts=parts.target_facts,
        run_id=recorder.ledger.run_id,
    )
    return fitted


def _fit(
    job: Job, parts: Parts, world: World | None, observer: Observer, description: Mapping[str, str]
) -> Fitted:
    """Train the network as the configuration says."""
    from dlcli.training.fit import fit
    from dlcli.training.restoration import place_of_checkpoints

    config, run_dir = job.config, Path(job.run_dir)
    return fit(
        parts.network,
        parts.task,
        parts.train,
        parts.val,
        make_recipe(config, parts.train, job.seed, keep_last=job.keep_last),
        observer=observer,
        description=description,
        earlier=recorded_epochs(run_dir),
        world=world,
        **place_of_checkpoints(run_dir),
    )


def take_part(text: str, world: World) -> None:
    """Train as one rank of several, on a job of rank 0's (`Job.to_json`): nothing is recorded here."""
    from pytorch_lightning.utilities.seed import isolate_rng

    from dlcli.assembly.parts import assemble

    job = Job.from_json(text)
    sys.path.extend(folder for folder in job.code if folder not in sys.path)
    data, split = load_data(job.config["dataset"]), read_split(Ledger.load(Path(job.run_dir)))
    with isolate_rng():
        parts = assemble(job.config, data, split, job.seed)
        parts, _ = with_features(job.config, parts, data, split, Path(job.run_dir).parents[2], Observer())
        _fit(job, parts, world, Observer(), {})


def _reload(
    config: Mapping[str, Any], run_dir: Path, data: Data, split: Split, device: torch.device
) -> tuple[SavedModel, Features | None, dict[str, Any]]:
    """The saved model, its features where they are kept, and what its task found out on the validation rows."""
    from dlcli.inference.evaluate import outputs_on
    from dlcli.inference.saved_model import add_task_facts, load_model

    folder = run_dir / "model"
    model = load_model(folder, trust=True)
    features = cached_features(config, model.network, model.preprocessing, data, run_dir.parents[2], device)
    if not len(split.val):
        return model, features, {}
    tuned = model.task.tune(outputs_on(model, data, split.val, device, features), data.y[split.val])
    if tuned:
        add_task_facts(folder, tuned)
        model = load_model(folder, trust=True)
    return model, features, tuned


class _Recording(Observer):
    """Records each epoch, and passes everything on."""

    def __init__(self, recorder: Recorder, observer: Observer) -> None:
        self._recorder = recorder
        self._observer = observer

    def prepared(self, plan: Plan) -> None:
        self._observer.prepared(plan)

    def advanced(self, steps: int) -> None:
        self._observer.advanced(steps)

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._recorder.log(metrics, step=epoch)
        self._observer.finished_epoch(epoch, metrics)
        if self._observer.hopeless:
            self._recorder.tag(PRUNED_TAG, f"after epoch {epoch + 1}")
            raise Pruned


def main() -> None:
    """`python -m dlcli.job FILE` does a job; without a file this is a rank that takes its jobs from rank 0."""
    from dlcli.distributed.ranks import run_rank

    present_process()
    if len(sys.argv) > 1:
        run_job(Job.from_json(Path(sys.argv[1]).read_text()))
    else:
        sys.exit(run_rank(take_part))


if __name__ == "__main__":
    run_program(main)
