"""What a sweep tells whoever watches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dlcli.sweeps.objective import Objective
from dlcli.sweeps.trial import Trial
from dlcli.training.observer import Watcher


class SweepWatcher:
    """Hears of a sweep's trials; this one ignores them. Epochs are told from several threads."""

    def recording(self, run_dir: Path) -> None:
        """The sweep has a run, with this folder."""

    def noted(self, text: str) -> None:
        """Something that a person should know."""

    @contextmanager
    def searching(self, name: str) -> Iterator[None]:
        """Around a sweep that is one of several, each planned, told of and done before the next."""
        yield

    def planned(
        self,
        description: Mapping[str, str],
        total: int,
        slots: int,
        objective: Objective,
        earlier: Sequence[Trial],
    ) -> None:
        """The sweep is about to begin, or to go on after `earlier` trials."""

    def began(self, trial: Trial, fold: int, folds: int) -> None:
        """A trial, or the next of its folds (counted from 0), is about to be trained."""

    def computed(self, trial: Trial, done: int, total: int) -> None:
        """Before its epochs: so many rows of a frozen backbone's features are there, of those that nobody knew."""

    def epoch(self, trial: Trial, epoch: int, value: float) -> None:
        """An epoch (counted from 0) of a trial is done; the value is that of the objective there."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """A trial has ended in some way; the best of all so far."""

    def refitting(self) -> Watcher:
        """The winner is about to be refitted: who hears of that."""
        return Watcher()
