"""Start the template of a command's worker processes before the command plans its jobs.

The imports take seconds of CPU time. A forked template shares those of the command, and workers can start earlier.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from threadpoolctl import ThreadpoolController

from dlcli.distributed.launcher import is_launched
from dlcli.executors.processes import Processes
from dlcli.executors.template import ONE_THREAD, import_needed
from dlcli.process import program
from dlcli.process.cores import cores

_early: Processes | None = None

# torch starts its threads with its first computation, so its variable need not be changed.
_AT_IMPORT = {name: value for name, value in ONE_THREAD.items() if name != "OMP_NUM_THREADS"}


def warm_early(
    overrides: Sequence[str],
    waiting: Callable[[], AbstractContextManager[object]],
    later: Sequence[str] = (),
) -> None:
    """Start a template if the overrides say that the command will run folds or trials in several processes.

    The process becomes its own template by a fork if it is dlcli's program and has one thread; otherwise the template
    is another program, which imports everything itself. A template that turns out to be unnecessary ends when that is
    known, or with the command.

    Args:
        overrides: overrides of the command.
        waiting: returns a context for the imports, which shows the user that they take time.
        later: modules that only the last job needs; a forked template imports them while the command plans.
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
    if not (jobs and jobs[-1].isdecimal() and int(jobs[-1]) > 1):
        return
    _early = Processes()
    if not program.is_running or _threads() > 1:
        _early.warm()
        return
    with _single_threaded():
        with waiting():
            import_needed()
        if _threads() > 1:  # a library has started one
            _early.warm()
        else:
            _early.fork(later)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep libraries from starting threads while they are imported; on exit, restore their numbers of threads."""
    before = {name: os.environ.get(name) for name in _AT_IMPORT}
    os.environ.update(_AT_IMPORT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        asked = (os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
        threads = next((int(text) for text in asked if text.isdecimal() and int(text) > 0), cores())
        ThreadpoolController().select(internal_api="openblas").limit(limits=threads)


def drop_early() -> None:
    """End a template that turned out to be unnecessary."""
    if (found := _taken()) is not None:
        found.kill()
        found.close()


def take_processes() -> Processes:
    """Return the processes that `warm_early` has started on the first call, and new ones on later calls."""
    return _taken() or Processes()


def _taken() -> Processes | None:
    global _early
    found, _early = _early, None
    return found
