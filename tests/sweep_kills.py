"""SIGKILL the driver or a worker during a sweep, and resume: `python -m tests.sweep_kills 20`.

A resumed sweep must end with the trials, values and weights of an uninterrupted one, in the same runs, and nothing
may stand in MLflow twice. A sweep that loses a worker must continue, with one failed trial.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from tests.processes import run, start, wait_until, workers_of

TRIALS = 4
_COMMON = [
    "dataset=iris", "dataset.batch_size=4", "model=mlp", "model.dropout=0.2", "trainer.max_epochs=4",
    "trainer.accelerator=cpu", "tracking.checkpoint_minutes=0.00001", "model.hidden=4,8",
    "optimizer.lr=tag(log,interval(1e-3,1e-1))", "--trials", str(TRIALS), "--name", "killed",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What is searched, how many trials at once, and who is killed."""

    name: str
    words: tuple[str, ...]
    jobs: int
    victim: str = "driver"


# Side by side the order of the results is chance, and with it what TPE proposes: points by number are compared there.
CASES = (
    Case("one after the other", ("sweep.sampler.startup_trials=2", "sweep/pruner=median"), 1),
    Case("side by side", ("sweep/sampler=random",), 2),
    Case("folds", ("cv=kfold", "cv.folds=2", "cv.test_size=0.2", "sweep.sampler.startup_trials=2"), 1),
    Case("a worker", ("sweep/sampler=random", "sweep.refit=false"), 2, victim="worker"),
)


@dataclass(frozen=True)
class Reference:
    """An uninterrupted sweep."""

    document: dict[str, Any]
    weights: bytes


def words(case: Case) -> list[str]:
    return ["sweep", *_COMMON, *case.words]


def untouched(case: Case, folder: Path) -> Reference:
    folder.mkdir()
    done = CliRunner().invoke(app, [*words(case), "--json", "--runs-dir", str(folder / "runs")])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    return Reference(document, weights(document))


def weights(document: dict[str, Any]) -> bytes:
    return (Path(document["run_dir"]) / "model" / "weights.safetensors").read_bytes()


def ledgers(folder: Path) -> dict[Path, Ledger]:
    return {f.parent: Ledger.load(f.parent) for f in (folder / "runs").glob(f"*/*/artifacts/{LEDGER_FILE}")}


def kill_and_go_on(case: Case, folder: Path, reference: Reference | None, chance: random.Random) -> str:
    """Kill soon after a random trial has begun; returns what was going on."""
    folder.mkdir()
    process = start([*words(case), "--jobs", str(case.jobs), "--json"], folder)
    begun = chance.randint(0, TRIALS)  # 0: the sweep itself

    def has_begun() -> bool:
        kinds = [ledger.kind for ledger in ledgers(folder).values()]
        return "sweep" in kinds and kinds.count("trial") >= begun

    wait_until(has_begun, process)
    time.sleep(chance.random())
    if case.victim == "worker":
        return _lose_a_worker(process, folder)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = ledgers(folder)
    ended = {
        path: (path / "metrics.jsonl").read_bytes()
        for path, ledger in before.items()
        if ledger.status == "FINISHED" and ledger.kind in ("trial", "fold")
    }
    document = _resume(folder)
    assert reference is not None
    _check(document, reference, folder)
    assert set(before) <= set(ledgers(folder)), "a run was lost"
    for path, content in ended.items():
        assert (path / "metrics.jsonl").read_bytes() == content, "a finished trial was trained again"
    return ", ".join(sorted(f"{ledger.kind} {ledger.status.lower()}" for ledger in before.values()))


def _resume(folder: Path) -> dict[str, Any]:
    done = run(["resume", "killed", "--jobs", "1", "--json"], folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _lose_a_worker(process: Any, folder: Path) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):  # the sweep may have ended just now
        for worker in workers_of(process.pid)[:1]:
            worker.kill()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    document = json.loads(out)
    statuses = [trial["status"] for trial in document["trials"]]
    assert len(statuses) == TRIALS
    assert statuses.count("FAILED") <= 1, "a worker takes one trial with it"
    for trial in document["trials"]:
        assert trial["status"] == "FINISHED" or "SIGKILL" in trial["reason"]
    _check_record(document, folder)
    return f"{statuses.count('FAILED')} of {TRIALS} trials failed"


def _check(document: dict[str, Any], reference: Reference, folder: Path) -> None:
    for trial, other in zip(document["trials"], reference.document["trials"], strict=True):
        for key in ("trial", "params", "status", "value"):
            assert trial[key] == other[key], f"{key} differs: {trial} {other}"
    assert document["metrics"] == reference.document["metrics"]
    assert weights(document) == reference.weights
    _check_record(document, folder)


def _check_record(document: dict[str, Any], folder: Path) -> None:
    client, found = MlflowClient(document["tracking_uri"]), ledgers(folder)
    numbers = [ledger.tags["dlcli.trial"] for ledger in found.values() if ledger.kind == "trial"]
    assert sorted(map(int, numbers)) == list(range(TRIALS)), "each trial is there once"
    assert [ledger.run_id for ledger in found.values() if ledger.kind == "sweep"] == [document["run_id"]]
    for ledger in found.values():
        mlflow_run = client.get_run(ledger.run_id)
        assert mlflow_run.info.status == ledger.status != "RUNNING"
        for name in mlflow_run.data.metrics:
            if not name.startswith("system/"):
                steps = [entry.step for entry in client.get_metric_history(ledger.run_id, name)]
                assert len(steps) == len(set(steps)), f"{name} stands there twice: {steps}"
    assert not list((folder / "runs" / ".active").glob("*"))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as base:
        references = {}
        for number in range(count):
            case = CASES[number % len(CASES)]
            if case.name not in references:
                references[case.name] = untouched(case, Path(base) / case.name)
            what = kill_and_go_on(case, Path(base) / str(number), references[case.name], chance)
            print(f"{number + 1}/{count}: {case.name} ({what}): the same end", flush=True)
            shutil.rmtree(Path(base) / str(number))


if __name__ == "__main__":
    main()
