"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that whatever runs can end in an orderly way."""

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

# Seconds within which a second signal is the first one once more: `timeout`, a shell or a supervisor send one to a
# process, then to all of its group.
SAME = 0.3

# Called with each signal that is heard.
on_signal: Callable[[int], object] | None = None


# The system wants the machine for somebody else: a training is to save its state, end, and go on elsewhere.
preempted = threading.Event()


@contextmanager
def preemptible() -> Iterator[None]:
    """Take SIGUSR1, which SLURM sends before it takes a machine away, as `preempted`. In the main thread only."""
    preempted.clear()
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: preempted.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on the first signal; a second one, while the first is seen to, does what it always did.

    Python drops an exception that is raised within a destructor or a weak reference's callback: a signal that comes
    right then is sent again.

    In a thread other than the main one signals cannot be taken, and nothing changes.
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
            # A process started with nohup ignores SIGHUP, and means it.
            if before[number] != signal.SIG_IGN:
                signal.signal(number, stop)

    def on_dropped(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, Interrupted):
            hook(dropped)
            return
        listen()
        # Not at once: that would still be within what drops it.
        threading.Timer(_SOON, os.kill, (os.getpid(), dropped.exc_value.signum)).start()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, on_dropped
    listen()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
