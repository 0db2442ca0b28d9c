"""The composition root: each function reads top to bottom, from a command's words to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.inference.saved_model import SavedModel
    from dlcli.result import Result
    from dlcli.splits.split import Part, Split
    from dlcli.tracking.store import DatasetRecord
    from dlcli.training.observer import Observer
    from dlcli.training.rehearsal import Rehearsal


def train(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    observer: Observer | None = None,
) -> Result:
    """Train one experiment: compose, check, create the run, do the job."""
    from dlcli.experiment import plan_experiment
    from dlcli.interrupts import interruptible
    from dlcli.job import Job, run_job
    from dlcli.run_folder import contents
    from dlcli.tracking.provenance import provenance
    from dlcli.tracking.reconcile import reconcile
    from dlcli.tracking.store import make_run_name, open_store

    with interruptible():
        experiment = plan_experiment(overrides, conf_dirs, runs_dir)
        config, data, folders = experiment.config, experiment.data, experiment.folders
        (split,) = experiment.splits
        experiment.rehearse(quick=True)

        with open_store(Path(config["runs_dir"])) as store:
            for note in reconcile(store.runs_dir, store):
                if observer:
                    observer.noted(note)
            model, dataset = experiment.composed.choices["model"], data.name
            run_dir = store.create_run(
                experiment=config["experiment_name"] or data.name,
                run_name=config["run_name"] or make_run_name(f"{model}-{dataset}"),
                kind="run",
                params=config,
                tags={
                    **provenance(config["tracking"]["tags"]),
                    "dlcli.seed": str(config["seed"]),
                    "dlcli.data_fingerprint": data.fingerprint,
                    "dlcli.split_fingerprint": split.fingerprint,
                },
                datasets=_records(data, split),
                files=contents(config, experiment.composed.overrides, split, folders),
            )
            job = Job(config, str(run_dir), config["seed"], tuple(str(folder.parent) for folder in folders))
            return run_job(job, observer)


def check(
    overrides: Sequence[str] = (), conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None
) -> Rehearsal:
    """Find every mistake, and train a few batches that nobody records."""
    from dlcli.experiment import plan_experiment
    from dlcli.interrupts import interruptible

    with interruptible():
        return plan_experiment(overrides, conf_dirs, runs_dir, thorough=True).rehearse()


def evaluate(
    run: str,
    part: Part = "test",
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    overrides: Sequence[str] = (),
) -> Result:
    """Repeat a run's figures: its saved model on the raw rows of one part of its split."""
    from dlcli.errors import DataError
    from dlcli.inference.evaluate import choose_device, figures
    from dlcli.inference.evaluate import evaluate as judge
    from dlcli.job import load_data
    from dlcli.result import Result
    from dlcli.run_folder import open_run, with_overrides
    from dlcli.splits.split import Split

    started = time.monotonic()
    opened = open_run(run, runs_directory(runs_dir))
    config = with_overrides(opened.config, overrides)
    model = opened.load_model(conf_dirs, trust=trust)
    data = load_data(config["dataset"])
    if data.fingerprint != opened.ledger.tags.get("dlcli.data_fingerprint"):
        raise DataError(
            f"{data.name} is not the data that the run was trained on: its fingerprint differs",
            where=data.source,
            hint="Restore the data as it was, or name its place: dataset.root=DIR.",
        )
    split = Split.load(opened.folder / "split.npz")
    rows = split.rows(part)
    if len(rows) == 0:
        raise DataError(f"the run has no {part} rows", where=str(opened.folder / "split.npz"))
    evaluation = judge(model, data, rows, choose_device(config["trainer"]["accelerator"]))
    metrics, baselines = figures({part: evaluation})
    return Result(
        status="FINISHED",
        run_id=opened.ledger.run_id,
        run_name=opened.ledger.run_name,
        experiment=opened.ledger.experiment,
        run_dir=opened.folder,
        tracking_uri=opened.ledger.tracking_uri,
        metrics=metrics,
        baselines=baselines,
        duration_s=round(time.monotonic() - started, 3),
        messages=opened.notes,
    )


def load_run(
    run: str, *, conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None, trust: bool = False
) -> SavedModel:
    """A run's saved model."""
    from dlcli.run_folder import open_run

    return open_run(run, runs_directory(runs_dir)).load_model(conf_dirs, trust=trust)


def ui(port: int, runs_dir: Path | None, tell: Callable[[str], None]) -> None:
    """Serve the MLflow UI of the store until it is stopped."""
    from dlcli.tracking.reconcile import reconcile
    from dlcli.tracking.server import serve_ui
    from dlcli.tracking.store import open_store

    with open_store(runs_directory(runs_dir)) as store:
        reconcile(store.runs_dir, store)
        uri = store.uri
    serve_ui(uri, port, tell)


def ui_command(result: Result) -> str:
    """The line that opens the UI on the store of a result."""
    store = result.tracking_uri
    if store.startswith("sqlite:"):
        # In the folder where the run was started, the default needs no option.
        folder = Path(store.removeprefix("sqlite:///")).parent
        return "dlcli ui" if folder == Path("runs").resolve() else f"dlcli ui --runs-dir {folder}"
    return "dlcli ui"


def runs_directory(given: Path | None) -> Path:
    """Where runs lie, for commands that compose no configuration."""
    import yaml

    from dlcli.config.folders import shipped_folder, user_folders
    from dlcli.config.project import project_defaults

    if given is not None:
        return given
    defaults: Mapping[str, Any] = yaml.safe_load((shipped_folder() / "config.yaml").read_text())
    return Path({**defaults, **project_defaults(user_folders())}["runs_dir"])


def _records(data: Data, split: Split) -> list[DatasetRecord]:
    """The data as MLflow shows it: which rows of it train, and which test."""
    from dlcli.tracking.store import DatasetRecord

    targets = {"classes": list(data.classes)} if data.classes else {"targets": list(data.targets)}
    profile = {"rows": len(data), **targets, **split.sizes}
    schema = {"kind": data.kind, "row_shape": list(data.x.shape[1:])}
    contexts = {"training": split.train, "validation": split.val, "testing": split.test}
    return [
        DatasetRecord(
            data.name, f"{data.fingerprint[:16]}-{context[:5]}", data.source, context, schema, profile
        )
        for context, rows in contexts.items()
        if len(rows)
    ]
