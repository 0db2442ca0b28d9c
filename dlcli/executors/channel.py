"""The messages between driver and worker: one JSON document per line.

To the worker: a job, and `hopeless` with the run folder of a job to abandon. From the worker: the job's events
(`dlcli.events`) under the names of their classes, and finally `done` (the metrics are in the run's ledger), `failed`,
`pruned` or `interrupted`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from dlcli.events import EpochDone, Event, FeaturesComputed, TrainingEnded, TrainingStarted

# The events that are sent to another process. A message for each step would be too slow.
_SENT = {kind.__name__: kind for kind in (FeaturesComputed, TrainingStarted, EpochDone, TrainingEnded)}


def send(stream: IO[str], event: str, **content: Any) -> None:
    """Write one message."""
    stream.write(json.dumps({"event": event, **content}) + "\n")
    stream.flush()


def send_event(stream: IO[str], event: Event) -> None:
    """Write an event as a message, if it is of a kind that is sent to another process."""
    if type(event).__name__ in _SENT:
        send(stream, type(event).__name__, **asdict(event))


def read_event(message: Mapping[str, Any]) -> Event:
    """Return the event of a message."""
    fields = {name: value for name, value in message.items() if name != "event"}
    event: Event = _SENT[message["event"]](**fields)
    return event
