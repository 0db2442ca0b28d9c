"""SIGKILL at random moments, resume, and compare with an uninterrupted run: `python -m tests.kills 20`.

Weights and metrics must be bitwise equal, runs must keep their IDs, finished folds must not be trained again, and no
metric may stand in MLflow twice.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from tests.processes import run, start, wait_until

# Small steps: a kill falls into epochs, between them, between folds, and into the writing of checkpoints and reports.
EXPERIMENT = [
    "dataset=iris", "dataset.batch_size=2", "model=mlp", "model.hidden=8", "model.dropout=0.2", "cv=kfold",
    "cv.folds=2", "trainer.max_epochs=3", "trainer.accelerator=cpu", "run_name=killed",
]  # fmt: skip
OFTEN = "tracking.checkpoint_minutes=0.00001"


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run."""

    metrics: dict[str, float]
    weights: list[bytes]
    losses: list[list[float]]
    seconds: float


def weights_of(runs_dir: Path, document: dict) -> list[bytes]:
    folders = [next(runs_dir.glob(f"*/{fold['run_id']}/artifacts")) for fold in document["folds"]]
    return [(folder / "model" / "weights.safetensors").read_bytes() for folder in folders]


def losses_of(document: dict) -> list[list[float]]:
    """Each fold's training losses in MLflow, which must count the epochs once each."""
    client = MlflowClient(document["tracking_uri"])
    losses = []
    for fold in document["folds"]:
        names = client.get_run(fold["run_id"]).data.metrics
        for name in names:
            steps = [entry.step for entry in client.get_metric_history(fold["run_id"], name)]
            assert len(steps) == len(set(steps)), f"{name} stands there twice: {steps}"
        history = client.get_metric_history(fold["run_id"], "train/loss")
        losses.append([entry.value for entry in sorted(history, key=lambda entry: entry.step)])
    return losses


def untouched(folder: Path) -> Reference:
    begun = time.monotonic()
    process = start(["train", *EXPERIMENT, OFTEN, "--json"], folder)
    wait_until(lambda: any((folder / "runs").glob(f"*/*/artifacts/{LEDGER_FILE}")), process)
    begun = time.monotonic()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    document = json.loads(out)
    return Reference(
        document["metrics"],
        weights_of(folder / "runs", document),
        losses_of(document),
        time.monotonic() - begun,
    )


def kill_and_resume(
    folder: Path, reference: Reference, jobs: int, moment: float, *, resumed_with: int, often: bool = True
) -> str:
    """Kill a run at a share of its length, resume it, and compare; returns what it was doing.

    Args:
        folder: an empty folder.
        reference: the uninterrupted run.
        jobs: the number of jobs of the run.
        moment: the share of its length.
        resumed_with: the number of jobs when it is resumed.
        often: whether a checkpoint is written after every chunk of steps; folds as short as these write none otherwise.
    """
    runs_dir = folder / "runs"
    process = start(["train", *EXPERIMENT, *([OFTEN] if often else []), "--jobs", str(jobs)], folder)
    wait_until(lambda: any(runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}")), process)
    time.sleep(moment * reference.seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {file.parent: Ledger.load(file.parent) for file in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}")}
    finished = {
        folder: (folder / "metrics.jsonl").read_bytes()
        for folder, ledger in before.items()
        if ledger.status == "FINISHED" and ledger.kind == "fold"
    }
    done = run(["resume", "killed", "--jobs", str(resumed_with), "--json"], folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["metrics"] == reference.metrics
    assert weights_of(runs_dir, document) == reference.weights
    assert losses_of(document) == reference.losses
    after = {file.parent: Ledger.load(file.parent) for file in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}")}
    assert set(before) <= set(after), "a run was lost"
    assert len(after) == 3, f"{len(after)} runs instead of a parent and 2 folds"
    assert {ledger.status for ledger in after.values()} == {"FINISHED"}
    for path, content in finished.items():
        assert (path / "metrics.jsonl").read_bytes() == content, "a finished fold was trained again"
    return ", ".join(sorted(f"{ledger.kind} {ledger.status.lower()}" for ledger in before.values()))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "reference").mkdir()
        reference = untouched(Path(base) / "reference")
        print(
            f"untouched: {reference.seconds:.1f} s, {[len(losses) for losses in reference.losses]} epochs",
            flush=True,
        )
        for number in range(count):
            folder = Path(base) / str(number)
            folder.mkdir()
            jobs, moment = 1 + number % 2, chance.random()
            often = number % 4 < 2
            what = kill_and_resume(folder, reference, jobs, moment, resumed_with=jobs, often=often)
            kept = "many checkpoints" if often else "no checkpoint"
            print(
                f"{number + 1}/{count}: killed at {moment:.0%}, {jobs} jobs, {kept} ({what}): same result",
                flush=True,
            )


if __name__ == "__main__":
    main()
