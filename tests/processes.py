"""Real dlcli processes, for tests that stop them in the middle."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from typer.testing import CliRunner

from dlcli.__main__ import main
from dlcli.cli.app import app

TEMPLATE = "dlcli.executors.template"

# Seconds, on a machine that has much else to do. Less than pytest's limit for a test, which says nothing of a process.
_LONG = 240

# Processes that share one import of torch, MLflow and the rest, which would cost each of them seconds.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])
_NUMBERS = itertools.count()

# Trains until it is stopped.
ENDLESS = [
    "dataset=iris",
    "model=mlp",
    "callbacks=none",
    "trainer.max_epochs=1000000",
    "trainer.accelerator=cpu",
]


class Dlcli:
    """A running `dlcli`, forked from a process that has imported everything: of seconds only work is left.

    It answers as `subprocess.Popen` does.
    """

    def __init__(self, folder: Path, *task: Any) -> None:
        number = next(_NUMBERS)
        self._outputs = [Path(f"{folder}.{number}.{stream}") for stream in ("out", "err")]
        self._process = FORKS.Process(target=_be_dlcli, args=(self._outputs, folder, *task))
        self._process.start()
        atexit.register(self._process.kill)  # where a test has failed and left it
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            self.kill()
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait for the child that does its work, which dies with it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            works = psutil.Process(self.pid).children()
            self._process.kill()
            psutil.wait_procs(works, timeout=_LONG)

    def communicate(self, timeout: float = _LONG) -> tuple[str, str]:
        """Wait for its end; what it wrote."""
        self._process.join(timeout)
        is_ended = self.returncode is not None
        if not is_ended:
            self.kill()
            self._process.join()
        out, err = (file.read_text() if file.exists() else "" for file in self._outputs)
        assert is_ended, f"it does not end:\n{out}\n{err}"
        return out, err


def _be_dlcli(
    outputs: Sequence[Path],
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    at_first: Callable[[], None] | None,
) -> None:
    for number, path in enumerate(outputs, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    # The fork server does not say why it could not import something.
    assert "tests.preloaded" in sys.modules, (
        "tests/preloaded.py does not run; `python -m tests.preloaded` says why"
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dlcli", *arguments]
    if at_first:
        at_first()
    try:
        main()
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    # What the interpreter does at the end of a program that was started. The last of it is `run_program`'s, which ends
    # the process with its status: a fork's own end would do neither.
    threading._shutdown()
    atexit._run_exitfuncs()


def start(
    arguments: Sequence[str], folder: Path, at_first: Callable[[], None] | None = None, **environment: str
) -> Dlcli:
    """Start `dlcli ARGUMENTS` in a folder, with as many threads as here; the process calls `at_first` before."""
    return Dlcli(folder, arguments, {**os.environ, **environment}, at_first)


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `dlcli ARGUMENTS` in a folder, in this process: importing everything costs seconds."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


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
                if module in child.cmdline():
                    found.append(child)
    return found


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a driver, which its template has started."""
    templates = children(pid, TEMPLATE)
    return [worker for template in templates for worker in template.children()]


def wait_until(
    condition: Callable[[], bool], process: Dlcli | subprocess.Popen[str] | None = None, bound: float = _LONG
) -> None:
    """Wait for a condition; a process that ends before it holds is an error, which tells what it wrote."""
    end = time.monotonic() + bound
    while not condition():
        what = "it never came" if time.monotonic() > end else ""
        if process is not None and (what or process.poll() is not None):
            what = what or f"ended with {process.poll()} before its time"
            process.kill()
            out, err = process.communicate()
            what += f":\n{out}\n{err}"
        assert not what, what
        time.sleep(0.02)


def run_folder(runs_dir: Path) -> Path | None:
    """The folder of the only run, once it is there."""
    return next((file.parent for file in runs_dir.glob("*/*/artifacts/ledger.json")), None)


def epochs(runs_dir: Path) -> int:
    """Epochs that the only run has recorded."""
    folder = run_folder(runs_dir)
    history = folder / "metrics.jsonl" if folder else None
    return history.read_text().count("train/loss") if history and history.exists() else 0
