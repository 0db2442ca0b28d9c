"""The life of a dlcli process, with a faster start and end than Python's own."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Importing torch, Lightning and MLflow creates 650,000 objects. With Python's default threshold (700 new objects),
# garbage collection makes imports outside `uncollected` a seventh slower.
_OBJECTS_BEFORE_COLLECTING = 10_000

# Whether this process runs dlcli as its program; false if another program imports dlcli.
is_running = False

# Called at the very end, when all work is done and all output is written.
farewell: Callable[[], object] | None = None

# Python's own exit code when stdout cannot be flushed.
_OUTPUT_LOST = 120


def open_closed_streams() -> None:
    """Open the null device as each standard stream that the caller has closed, as in `dlcli train >&- 2>&-`.

    Otherwise the next file that is opened (the database, say) has the number of stdout or stderr, and what libraries
    and other processes print is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # has the lowest number that is free: this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def run_program(main: Callable[[], None]) -> None:
    """Run `main`, and exit without the interpreter's finalization.

    Threads are joined and all exit handlers run. Then the process ends immediately, instead of freeing the libraries'
    objects one by one (two seconds of CPU time).
    """
    global is_running
    is_running = True
    if "MPLBACKEND" in os.environ:
        # Plots are written with Agg. Importing matplotlib fails if the variable names an unknown backend.
        os.environ["MPLBACKEND"] = "agg"
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
    status = 0

    def end() -> None:
        is_flushed = _flush()
        if farewell:
            farewell()
        os._exit(status or (0 if is_flushed else _OUTPUT_LOST))

    atexit.register(end)  # registered first, so it runs last
    try:
        main()
    except SystemExit as leaving:
        status = _status(leaving.code)
        raise
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
        raise
    except BaseException:
        status = 1
        raise


@contextmanager
def uncollected() -> Iterator[None]:
    """Import libraries without garbage collection, which takes a tenth of the time.

    What exists at the end, a few MB of garbage included, is never searched again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _status(code: object) -> int:
    """Return the exit status of `sys.exit(code)`: text, which is printed on stderr, means failure."""
    if code is None or isinstance(code, int):
        return code or 0
    return 1


def _flush() -> bool:
    """Flush stdout and stderr, and return whether that succeeded."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # a full disk, or a closed pipe
        return False
    return True
