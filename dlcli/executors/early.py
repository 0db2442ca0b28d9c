"""Start the template of a command's worker processes before the command's own imports, so that both import at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dlcli.distributed.launcher import is_launched
from dlcli.executors.processes import Processes
from dlcli.process.cores import cores

_early: Processes | None = None


def warm_early(overrides: Sequence[str]) -> None:
    """Start a template if the command's words say that it will run folds or trials in several processes.

    A template that turns out to be unnecessary ends when that is known, or with the command.
    """
    global _early
    if (
        sys.platform != "linux"
        or cores() < 2
        or is_launched()
        or any(word.startswith("executor=") for word in overrides)
    ):
        return
    jobs = [word.partition("=")[2] for word in overrides if word.startswith("executor.jobs=")]
    if jobs and jobs[-1].isdecimal() and int(jobs[-1]) > 1:
        _early = Processes()
        _early.warm()


def drop_early() -> None:
    """End a template that turned out to be unnecessary."""
    if (found := _taken()) is not None:
        found.kill()
        found.close()


def take_processes() -> Processes:
    """Return the processes of `warm_early` to its first caller, to others new ones."""
    return _taken() or Processes()


def _taken() -> Processes | None:
    global _early
    found, _early = _early, None
    return found
