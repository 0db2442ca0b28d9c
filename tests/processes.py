"""Real dlcli processes, for tests that interrupt them, and conditions that such tests wait for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.executors import template
from tests.forked import LONG, Dlcli

TEMPLATE = "dlcli.executors.template"

# Trains until it is stopped.
ENDLESS = [
    "dataset=iris",
    "model=mlp",
    "callbacks=none",
    "trainer.max_epochs=1000000",
    "trainer.accelerator=cpu",
]


def start(
    arguments: Sequence[str], folder: Path, at_first: Callable[[], None] | None = None, **environment: str
) -> Dlcli:
    """Start `dlcli ARGUMENTS` in a folder, with as many threads as here; the process calls `at_first` before."""
    return Dlcli(arguments, folder, {**os.environ, **environment}, at_first)


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `dlcli ARGUMENTS` in a folder, in this process: importing everything costs seconds."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def wait_until(
    condition: Callable[[], bool], process: Dlcli | subprocess.Popen[str] | None = None, bound: float = LONG
) -> None:
    """Wait for a condition. A process that ends before fails the test, which shows what it wrote."""
    end = time.monotonic() + bound
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended with {process.poll()} before its time:\n{_written(process)}")
        if time.monotonic() > end:
            raise AssertionError(f"it never came:\n{_written(process)}")
        time.sleep(0.02)


def _written(process: Dlcli | subprocess.Popen[str] | None) -> str:
    """End a process, and return what it wrote."""
    if process is None:
        return ""
    process.kill()
    return "\n".join(process.communicate())


def children(pid: int, module: str) -> list[psutil.Process]:
    """What a process, or the child that does a command's work, has started as `python -m MODULE`, or forked."""
    process = psutil.Process(pid)
    return _started(process, module) or [
        found for worker in process.children() for found in _started(worker, module)
    ]


def _started(process: psutil.Process, module: str) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may be about to end
                if module in child.cmdline() or (module == TEMPLATE and child.name() == template.NAME):
                    found.append(child)
    return found


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a driver, which its template has started."""
    templates = children(pid, TEMPLATE)
    return [worker for template in templates for worker in template.children()]


def run_folder(runs_dir: Path) -> Path | None:
    """The folder of the only run, once it is there."""
    return next((file.parent for file in runs_dir.glob("*/*/artifacts/ledger.json")), None)


def epochs(runs_dir: Path) -> int:
    """Epochs that the only run has recorded."""
    folder = run_folder(runs_dir)
    history = folder / "metrics.jsonl" if folder else None
    return history.read_text().count("train/loss") if history and history.exists() else 0
