"""What driver and worker tell each other: one JSON document a line.

To the worker: a job, and `hopeless` with the folder of one that is to be given up. From it: `computed`, `prepared` and
`epoch` while it trains, `trained`, then `done` (the figures are in the run's ledger), `failed`, `pruned` or
`interrupted`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import IO, Any

from dlcli.training.observer import Observer, Plan


def send(stream: IO[str], event: str, **content: Any) -> None:
    """Write one message."""
    stream.write(json.dumps({"event": event, **content}) + "\n")
    stream.flush()


class Sender(Observer):
    """Tells the driver of a job's epochs. Single steps would cost more than they are worth."""

    def __init__(self, stream: IO[str], is_hopeless: Callable[[], bool]) -> None:
        self._stream = stream
        self._is_hopeless = is_hopeless

    def computed(self, done: int, total: int) -> None:
        """Pass it on."""
        send(self._stream, "computed", done=done, total=total)

    def prepared(self, plan: Plan) -> None:
        """Pass it on."""
        send(self._stream, "prepared", plan=asdict(plan))

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Pass it on."""
        send(self._stream, "epoch", epoch=epoch, metrics=dict(metrics))

    def trained(self) -> None:
        """Pass it on."""
        send(self._stream, "trained")

    @property
    def hopeless(self) -> bool:
        """What the driver has said by now: nobody waits for it."""
        return self._is_hopeless()


def relay(message: Mapping[str, Any], observer: Observer) -> None:
    """Tell the driver's observer what the worker's heard."""
    if message["event"] == "prepared":
        observer.prepared(Plan(**message["plan"]))
    elif message["event"] == "computed":
        observer.computed(message["done"], message["total"])
    elif message["event"] == "epoch":
        observer.finished_epoch(message["epoch"], message["metrics"])
