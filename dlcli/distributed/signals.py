"""Signals in distributed training: rank 0 handles them and ends the other ranks."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytorch_lightning as pl

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def leave_signals(trainer: pl.Trainer) -> None:
    """Disable Lightning's signal handlers and its check for SIGTERM on all ranks before each batch.

    Lightning's handler of SIGTERM broadcasts from within the signal handler. The other ranks may be in a different
    collective operation at that moment, which deadlocks all of them. The check also makes every step wait for the
    device. Instead, `interruptible` raises in rank 0.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


@contextlib.contextmanager
def ignored_signals(*, launched: bool) -> Iterator[None]:
    """Ignore signals in a rank other than 0 within this context.

    A terminal or SLURM signals all ranks, but only rank 0 handles signals. If `launched`, SIGTERM keeps its default
    action, by which a launcher ends its processes. Outside the main thread this has no effect, because Python handles
    signals in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    if launched:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
