"""What a training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """A training that is about to start, or to go on.

    `description` says in words what will run; `max_epochs` is None or -1 where something else ends it.
    `first_epoch` counts from 0.
    """

    description: Mapping[str, str]
    max_epochs: int | None
    steps_per_epoch: int
    monitor: str
    mode: str
    first_epoch: int = 0


class Observer:
    """Hears of a training's progress; this one ignores it."""

    def noted(self, text: str) -> None:
        """Something that a person should know, beside the training itself."""

    def prepared(self, plan: Plan) -> None:
        """Before the first step."""

    def advanced(self, steps: int) -> None:
        """Some optimizer steps are done. Called often: must be cheap."""

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch is done, counted from 0."""
