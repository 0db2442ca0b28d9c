"""A job: one configuration on one split. `run_job` is the only way in which dlcli trains.

A job is plain data, so that it runs in this process, in a worker, or as `python -m dlcli.job FILE`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build
from dlcli.errors import Interrupted
from dlcli.finding import find, settle
from dlcli.optimization import batch_rows, make_chosen, make_optimizer, make_schedule
from dlcli.paths import display
from dlcli.result import Result
from dlcli.training.observer import Observer, Plan

if TYPE_CHECKING:
    import torch

    from dlcli.datasets.data import Data
    from dlcli.inference.saved_model import SavedModel
    from dlcli.splits.split import Part, Split
    from dlcli.tracking.recorder import Recorder
    from dlcli.training.fit import Fitted
    from dlcli.training.observer import Observer

# Keys of the dataset section that say how rows are fed, not what they are: runs that differ in them share the rows.
_FEEDING = frozenset({"batch_size"})

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
    """

    config: dict[str, Any]
    run_dir: str
    seed: int
    code: tuple[str, ...] = ()

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

    Raises:
        TrainingError: the training failed; the run is marked FAILED.
        Interrupted: a signal came; the run is marked KILLED.
    """
    from dlcli.inference.evaluate import evaluate, figures
    from dlcli.reports.report import write_report
    from dlcli.splits.split import Split
    from dlcli.tracking.ledger import disk_errors
    from dlcli.tracking.recorder import Recorder

    started = time.monotonic()
    run_dir = Path(job.run_dir)
    sys.path.extend(folder for folder in job.code if folder not in sys.path)
    tracking = build(job.config["tracking"], where="tracking")
    with (
        Recorder(run_dir, system_metrics=tracking.system_metrics) as recorder,
        disk_errors(run_dir),
        _naming(run_dir),
    ):
        data = load_data(job.config["dataset"])
        split = Split.load(run_dir / "split.npz")
        fitted = _train(job, data, split, recorder, observer or Observer())
        # What is judged is what lies on the disk: the same files, on the same path, that eval and predict read.
        model, tuned = _tune(run_dir / "model", data, split, fitted.device)
        evaluations = {
            part: evaluate(model, data, split.rows(part), fitted.device)
            for part in JUDGED
            if len(split.rows(part))
        }
        metrics, baselines = figures(evaluations)
        metrics |= tuned
        diagnosis = write_report(run_dir, model, data, fitted, evaluations, job.config["monitor"])
        recorder.tag("mlflow.note.content", diagnosis)  # what MLflow shows as the description
        # MLflow shows a metric's last epoch; the best epoch's figures on val stand beside it.
        best = {f"best/{name}": value for name, value in metrics.items() if name.startswith("val/")}
        guesses = {f"baseline/{name}": value for name, value in baselines.items()}
        recorder.finish({**metrics, **best, **guesses, "best_epoch": fitted.best_epoch})
    ledger = recorder.ledger
    return Result(
        status="FINISHED",
        run_id=ledger.run_id,
        run_name=ledger.run_name,
        experiment=ledger.experiment,
        run_dir=run_dir,
        tracking_uri=ledger.tracking_uri,
        metrics=metrics,
        baselines=baselines,
        duration_s=round(time.monotonic() - started, 3),
        messages=(
            *(
                f"{name} {value:.4g}, found on the {len(split.val):,} validation rows"
                for name, value in tuned.items()
            ),
            diagnosis,
        ),
    )


@contextmanager
def _naming(run_dir: Path) -> Iterator[None]:
    """Whatever stops a job says where its record is."""
    try:
        yield
    except Interrupted as interrupt:
        interrupt.add_note(f"The run is KILLED, with its last checkpoint kept, in {display(run_dir)}")
        raise
    except Exception as error:
        error.add_note(f"The run is FAILED, and what it has done so far is kept, in {display(run_dir)}")
        raise


def load_data(dataset: Mapping[str, Any]) -> Data:
    """The raw rows of a `dataset` section; read once a process."""
    return _load_data(
        json.dumps({key: value for key, value in dataset.items() if key not in _FEEDING}, sort_keys=True)
    )


@lru_cache(maxsize=1)
def _load_data(arguments: str) -> Data:
    return build(json.loads(arguments), where="dataset")


def _train(job: Job, data: Data, split: Split, recorder: Recorder, observer: Observer) -> Fitted:
    """Fit preprocessing and network on the training rows; write the model folder with the best epoch's weights."""
    from pytorch_lightning.utilities.seed import isolate_rng

    from dlcli.inference.saved_model import save_model
    from dlcli.parts import assemble
    from dlcli.reports.summary import describe, summarize
    from dlcli.tracking.ledger import atomic_write
    from dlcli.training.fit import fit

    config, run_dir = job.config, Path(job.run_dir)
    # A notebook's own random state stays as it was.
    with isolate_rng():
        parts = assemble(config, data, split, job.seed)
        network, train = parts.network, parts.train
        summary = summarize(network, {name: values[:1] for name, values in train.items()})
        atomic_write(run_dir / "model_summary.txt", summary.text)
        recorder.log(
            {"model/parameters": summary.parameters, "model/multiply_adds": summary.multiply_adds}, step=0
        )
        found = find(config, parts, job.seed)
        if found is not None:
            config = settle(config, found, run_dir, recorder)
        fitted = fit(
            network,
            parts.task,
            train,
            parts.val,
            make_optimizer=partial(make_optimizer, config["optimizer"]),
            make_schedule=partial(make_schedule, config["scheduler"]) if config["scheduler"] else None,
            augment=make_chosen(config, "augmentation"),
            averaging=make_chosen(config, "weight_averaging"),
            make_trainer=partial(build, config["trainer"], where="trainer"),
            trainer_arguments=config["trainer"],
            callbacks=[
                build(node, where=f"callbacks.{name}") for name, node in config["callbacks"].items() if node
            ],
            batch_size=batch_rows(config, train),
            seed=job.seed,
            monitor=config["monitor"],
            mode=config["mode"],
            folder=run_dir / "checkpoints",
            checkpoint_minutes=config["tracking"]["checkpoint_minutes"],
            observer=_Recording(recorder, observer),
            description=describe(data, split, network, parts.preprocessing, parts.task, summary, run_dir)
            | ({"found": f"{found.key}={found.value}: {found.reason}"} if found else {}),
        )
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


def _tune(
    folder: Path, data: Data, split: Split, device: torch.device
) -> tuple[SavedModel, dict[str, float]]:
    """The saved model, and what its task found out on the validation rows with the best weights."""
    from dlcli.datasets.data import take
    from dlcli.inference.saved_model import add_task_facts, load_model

    model = load_model(folder, trust=True)
    if not len(split.val):
        return model, {}
    tuned = model.task.tune(model.outputs(take(data.x, split.val), device), data.y[split.val])
    if not tuned:
        return model, {}
    add_task_facts(folder, tuned)
    return load_model(folder, trust=True), tuned


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


if __name__ == "__main__":
    run_job(Job.from_json(Path(sys.argv[1]).read_text()))
