"""Training runs that pause before each chunk of optimizer steps, so that several runs can take their steps together."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dlcli.training.loader import Chunk
    from dlcli.training.module import TrainingModule

T = TypeVar("T")


@dataclass(frozen=True)
class DueSteps:
    """A chunk of steps that a training run waits for.

    Attributes:
        module: the module to train.
        chunk: the batches of the steps.
        epoch: number of the epoch, from 0.
        number: number of the chunk within its epoch, from 0.
        ends_epoch: whether the epoch ends with them.
    """

    module: TrainingModule
    chunk: Chunk
    epoch: int
    number: int
    ends_epoch: bool = False

    def take(self) -> None:
        """Take the steps."""
        self.module.training_step(self.chunk, self.number)


# A training run, or a part of one: it yields its next steps, and continues when they have been taken. An error in them
# is raised where it waits.
Pausing = Generator[DueSteps, None, T]


def run_alone(pausing: Pausing[T]) -> T:
    """Continue a run to its end, taking each chunk of steps when it is due, and return its result."""
    try:
        due = next(pausing)
        while True:
            try:
                due.take()
            except BaseException as error:
                due = pausing.throw(error)
            else:
                due = next(pausing)
    except StopIteration as end:
        result: T = end.value
        return result
