"""Real dlcli processes, for tests that stop them in the middle."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from typer.testing import CliRunner

from dlcli.cli.app import app

TEMPLATE = "dlcli.executors.template"

_LONG = 900  # seconds: on a machine that has much else to do

# Trains until it is stopped.
ENDLESS = [
    "dataset=iris",
    "model=mlp",
    "callbacks=none",
    "trainer.max_epochs=1000000",
    "trainer.accelerator=cpu",
]


def start(arguments: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `dlcli ARGUMENTS` in a folder, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "dlcli", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `dlcli ARGUMENTS` in a folder, in this process: importing everything costs seconds."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def children(pid: int, module: str) -> list[psutil.Process]:
    """What a process has started as `python -m MODULE`, or forked."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it may be about to end
            if module in child.cmdline():
                found.append(child)
    return found


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a driver, which its template has started."""
    templates = children(pid, TEMPLATE)
    return [worker for template in templates for worker in template.children()]


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, bound: float = _LONG
) -> None:
    """Wait for a condition; a process that ends before it holds is an error."""
    end = time.monotonic() + bound
    while not condition():
        if process is not None and process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended with {process.returncode} before its time:\n{out}\n{err}")
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def run_folder(runs_dir: Path) -> Path | None:
    """The folder of the only run, once it is there."""
    return next((file.parent for file in runs_dir.glob("*/*/artifacts/ledger.json")), None)


def epochs(runs_dir: Path) -> int:
    """Epochs that the only run has recorded."""
    folder = run_folder(runs_dir)
    history = folder / "metrics.jsonl" if folder else None
    return history.read_text().count("train/loss") if history and history.exists() else 0
