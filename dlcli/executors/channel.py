"""The messages between driver and worker: one JSON document per line.

To the worker: a job, and `hopeless` with the run folder of a job to abandon. From the worker: `computed`, `prepared`
and `epoch` during training, `trained` after it, and finally `done` (the metrics are in the run's ledger), `failed`,
`pruned` or `interrupted`.
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
    """Sends a job's progress to the driver, by epoch: a message for each step would be too slow."""

    def __init__(self, stream: IO[str], is_hopeless: Callable[[], bool]) -> None:
        self._stream = stream
        self._is_hopeless = is_hopeless

    def computed(self, done: int, total: int) -> None:
        """Send the progress of feature extraction."""
        send(self._stream, "computed", done=done, total=total)

    def prepared(self, plan: Plan) -> None:
        """Send the plan of the training run."""
        send(self._stream, "prepared", plan=asdict(plan))

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Send an epoch's metrics."""
        send(self._stream, "epoch", epoch=epoch, metrics=dict(metrics))

    def trained(self) -> None:
        """Send that training has finished."""
        send(self._stream, "trained")

    @property
    def hopeless(self) -> bool:
        """Whether the driver has asked to abandon the job, as far as messages have arrived."""
        return self._is_hopeless()


def relay(message: Mapping[str, Any], observer: Observer) -> None:
    """Pass a worker's message on to the driver's observer."""
    if message["event"] == "prepared":
        observer.prepared(Plan(**message["plan"]))
    elif message["event"] == "computed":
        observer.computed(message["done"], message["total"])
    elif message["event"] == "epoch":
        observer.finished_epoch(message["epoch"], message["metrics"])
