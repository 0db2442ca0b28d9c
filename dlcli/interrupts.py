"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that whatever runs can end in an orderly way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dlcli.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on the first signal; a second one, while the first is seen to, does what it always did.

    In a thread other than the main one signals cannot be taken, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        for other in _SIGNALS:
            signal.signal(other, before[other])
        raise Interrupted(signum)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        # A process started with nohup ignores SIGHUP, and means it.
        if before[number] != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
