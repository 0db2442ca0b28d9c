"""Signals where several processes train: the first one takes them, and ends the others."""

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
    """Have a trainer take no signals, nor ask the other ranks about them before each batch.

    Lightning's own handler of SIGTERM broadcasts within the signal, between any two collectives of the training: the
    other ranks are in another one, and all wait for each other for ever. And to be told of a signal before each batch
    makes every step wait for the device. `interruptible` raises in rank 0 instead, wherever that is.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


@contextlib.contextmanager
def left_to_the_first(*, launched: bool) -> Iterator[None]:
    """Take no signals in a rank that keeps no record: a terminal or SLURM sends them to all, and rank 0 acts on them.

    A launcher ends its processes with SIGTERM, which they do not survive. In a thread other than the main one signals
    cannot be taken anyway.
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
