"""What a stack does for a training run, and what it has to know of it."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

from torch import Tensor

from dlcli.training.scores import EpochScores, Scores


@dataclass
class StackedPart:
    """What a stack does for a training run, which may also be trained alone.

    Attributes:
        is_read_late: whether only the module and the checkpoints read weights and outputs during training.
        read_metrics: names of the metrics that callbacks read then; None for all.
        scored: the scores of the epoch that has ended, if the stack has computed them.
        late_weights: copies the weights that the stack has kept so far into the network.
        at_end: called when training has ended, before anything else draws random numbers.
    """

    is_read_late: bool = False
    read_metrics: Set[str] | None = None
    scored: EpochScores | None = None
    late_weights: Callable[[], None] | None = None
    at_end: Callable[[], None] | None = None

    def settle(self) -> None:
        """Give the network its current weights."""
        if self.late_weights is not None:
            write, self.late_weights = self.late_weights, None
            write()

    def leave(self) -> None:
        """End the training in the stack."""
        self.settle()
        if self.at_end is not None:
            leave, self.at_end = self.at_end, None
            leave()

    @property
    def scoring_seconds(self) -> float:
        """The run's share of the time in which the stack computed the scores of the epoch."""
        return self.scored.seconds if self.scored is not None else 0.0

    def of_validation(self, scores: Scores, rows: int) -> tuple[dict[str, float], Tensor | None]:
        """Return the values of the validation rows by name and their `Scores.group_sums`, if need be of `scores`."""
        if self.scored is not None and self.scored.val is not None:
            return self.scored.val, self.scored.groups
        groups = scores.group_sums(rows)
        return scores.compute(), groups

    def of_training(self, scores: Scores) -> dict[str, float]:
        """Return the values of the training rows by name, if need be of `scores`, and end the epoch."""
        scored, self.scored = self.scored, None
        return scores.compute() if scored is None else scored.train
