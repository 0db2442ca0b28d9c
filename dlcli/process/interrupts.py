"""Raise one exception for Ctrl-C, SIGTERM and SIGHUP, so that a command can shut down cleanly."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dlcli.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Seconds until a signal whose exception was dropped is sent again.
_SOON = 0.05

# Seconds within which a second signal counts as a duplicate of the first: `timeout`, shells and supervisors signal a
# process, and then its process group.
SAME = 0.3

# Called with each signal that is handled.
on_signal: Callable[[int], object] | None = None


# Set when the scheduler preempts this job: training has to save its state and end, and continues elsewhere.
preempted = threading.Event()


@contextmanager
def preemptible() -> Iterator[None]:
    """Set `preempted` on SIGUSR1, which SLURM sends before it preempts a job. For the main thread only."""
    preempted.clear()
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: preempted.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on the first signal; a second signal during the shutdown has its original action.

    Python drops an exception that is raised within a destructor or a weak reference's callback. A signal that arrives
    there is therefore sent again.

    Outside the main thread this has no effect, since Python handles signals in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    heard = 0.0

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = time.monotonic()
        for other in _SIGNALS:
            if before[other] != signal.SIG_IGN:
                signal.signal(other, again)
        if on_signal:
            on_signal(signum)
        raise Interrupted(signum)

    def again(signum: int, frame: FrameType | None) -> None:
        if time.monotonic() - heard <= SAME:
            return
        for other in _SIGNALS:
            signal.signal(other, before[other])
        os.kill(os.getpid(), signum)

    def listen() -> None:
        for number in _SIGNALS:
            # A process that was started with nohup must keep ignoring SIGHUP.
            if before[number] != signal.SIG_IGN:
                signal.signal(number, stop)

    def on_dropped(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, Interrupted):
            hook(dropped)
            return
        listen()
        # With a delay: now, the destructor or callback that drops exceptions is still running.
        threading.Timer(_SOON, os.kill, (os.getpid(), dropped.exc_value.signum)).start()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, on_dropped
    listen()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        # A supervised process is about to end. A duplicate that its parent passes on only now must not kill it.
        is_ending = heard and on_signal is not None
        for number, handler in before.items():
            if not (is_ending and signal.getsignal(number) is again):
                signal.signal(number, handler)
