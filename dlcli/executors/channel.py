"""Messages between driver and worker: one JSON document per line.

To the worker: jobs, and `hopeless` with the run folder of a job to abandon. From the worker: each job's events
(`dlcli.events`) under the names of their classes, and finally `done` (the metrics are in the run's ledger), `failed`,
`pruned` or `interrupted`, with `job`, the place of the job among those that it was given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from dlcli.events import (
    EpochDone,
    Event,
    FeaturesComputed,
    Listener,
    StepsDone,
    TrainingEnded,
    TrainingStarted,
)

# The events that are sent to another process.
_SENT = {
    kind.__name__: kind for kind in (FeaturesComputed, TrainingStarted, StepsDone, EpochDone, TrainingEnded)
}

# Seconds between messages about finished steps, since a message for each step would be too slow.
_STEP_SECONDS = 0.5


def send(stream: IO[str], event: str, **content: Any) -> None:
    """Write one message."""
    stream.write(json.dumps({"event": event, **content}) + "\n")
    stream.flush()


def send_event(stream: IO[str], event: Event, **content: Any) -> None:
    """Write an event as a message, if it is of a kind that is sent to another process."""
    if type(event).__name__ in _SENT:
        send(stream, type(event).__name__, **asdict(event), **content)


class StepsTogether:
    """Passes events on, with finished steps summed over half a second; `EpochDone` replaces an epoch's remaining ones.

    Args:
        listen: receives the events.
    """

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._steps, self._next = 0, 0.0

    def __call__(self, event: Event) -> None:
        """Receive an event."""
        if not isinstance(event, StepsDone):
            self._steps = 0 if isinstance(event, EpochDone) else self._steps
            self._listen(event)
            return
        self._steps += event.steps
        if time.monotonic() >= self._next:
            steps, self._steps = self._steps, 0
            self._next = time.monotonic() + _STEP_SECONDS
            self._listen(StepsDone(steps))


def read_event(message: Mapping[str, Any]) -> Event:
    """Return the event of a message."""
    fields = {name: value for name, value in message.items() if name not in ("event", "job")}
    event: Event = _SENT[message["event"]](**fields)
    return event
