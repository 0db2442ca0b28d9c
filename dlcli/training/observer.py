"""What a training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcli.result import Result


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

    def computed(self, done: int, total: int) -> None:
        """Before that: so many rows of a frozen backbone's features are done, of those that nobody knew."""

    def prepared(self, plan: Plan) -> None:
        """Before the first step."""

    def advanced(self, steps: int) -> None:
        """Some optimizer steps are done. Called often: must be cheap."""

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch is done, counted from 0."""

    def trained(self) -> None:
        """The training is done; what is left is to judge it."""

    def noted(self, text: str) -> None:
        """Something that a person should know of this job, such as that its process does nothing."""

    @property
    def hopeless(self) -> bool:
        """Whether the training is to be given up. Asked after each epoch."""
        return False


class Watcher:
    """Hears of an experiment's jobs; this one ignores them.

    Jobs that run side by side tell their news from several threads.
    """

    def recording(self, run_dir: Path) -> None:
        """The experiment has a run, with this folder."""

    def noted(self, text: str) -> None:
        """Something that a person should know, beside the training itself."""

    def planned(self, names: Sequence[str], jobs: int) -> None:
        """The jobs that follow, so many at a time; called again where there is a next round."""

    def observer(self, index: int) -> Observer:
        """Who hears of one job's progress."""
        return Observer()

    def finished(self, index: int, result: Result) -> None:
        """A job is done."""
