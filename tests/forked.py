"""dlcli processes that are forks: a start costs milliseconds, not the seconds that importing torch and MLflow takes.

    the tests --starts--> the fork server --forks--> dlcli ARGUMENTS
                          imports preloaded.py once  _be_dlcli

The fork server is that of `multiprocessing`. `Dlcli` asks it for a fork, and is used like a `subprocess.Popen`.
`_be_dlcli` is what the fork does: it takes on the output, folder, environment and arguments that a shell would have
given, and calls `dlcli.__main__.main`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

import psutil

from dlcli.__main__ import main

# Seconds, on a machine that has much else to do. Less than pytest's limit for a test, which says nothing of a process.
LONG = 240

# The fork server; tests also run functions in its forks.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])

_NUMBERS = itertools.count()


class Dlcli:
    """A running `dlcli ARGUMENTS`; the methods are those of `subprocess.Popen`.

    Args:
        arguments: of the command line.
        folder: the current folder of the process; what it writes goes to files beside it.
        environment: of the process.
        at_first: called in the process before dlcli.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        at_first: Callable[[], None] | None = None,
    ) -> None:
        number = next(_NUMBERS)
        self._outputs = [Path(f"{folder}.{number}.{stream}") for stream in ("out", "err")]
        task = (self._outputs, arguments, folder, environment, at_first)
        self._process = FORKS.Process(target=_be_dlcli, args=task)
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
            psutil.wait_procs(works, timeout=LONG)

    def communicate(self, timeout: float = LONG) -> tuple[str, str]:
        """Wait for its end, and return what it wrote."""
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
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    at_first: Callable[[], None] | None,
) -> None:
    for descriptor, path in zip((1, 2), outputs, strict=True):
        with path.open("w") as file:
            os.dup2(file.fileno(), descriptor)
    # The fork server ignores errors of what it imports.
    assert "tests.preloaded" in sys.modules, "tests/preloaded.py fails: python -m tests.preloaded says why"
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
    # A program's end: the interpreter waits for threads and calls the exit handlers, the last of which ends the process
    # with dlcli's status (`run_program`). The end of a fork has neither.
    threading._shutdown()
    atexit._run_exitfuncs()
