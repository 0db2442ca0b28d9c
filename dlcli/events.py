"""Events of training runs, cross-validations and sweeps, and the type of the function that receives them.

Code that trains, cross-validates or sweeps takes a `Listener` and calls it with each event. The terminal, the run's
record and the sweep are listeners. Jobs that run side by side call it from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcli.result import Result
    from dlcli.sweeps.objective import Objective
    from dlcli.sweeps.trial import Trial


@dataclass(frozen=True)
class FeaturesComputed:
    """`done` of `total` rows have the features of a frozen backbone; rows whose features are cached are not counted."""

    done: int
    total: int


@dataclass(frozen=True)
class TrainingStarted:
    """A training run is about to take its first step, or to continue from a checkpoint.

    Attributes:
        description: what is trained, for the user: label to text.
        max_epochs: maximum number of epochs; None or -1 without one.
        steps_per_epoch: number of optimizer steps per epoch.
        monitor: the metric by which the best epoch is chosen.
        mode: min or max.
        first_epoch: first epoch, counted from 0; greater than 0 if the run continues.
        stops_early: whether early stopping may end it before `max_epochs`.
    """

    description: Mapping[str, str]
    max_epochs: int | None
    steps_per_epoch: int
    monitor: str
    mode: str
    first_epoch: int = 0
    stops_early: bool = False


@dataclass(frozen=True)
class StepsDone:
    """Some optimizer steps are done. Sent often, so listeners must be fast; from other processes twice a second."""

    steps: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch, counted from 0, is done. A listener that raises `Pruned` stops the training run here."""

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainingEnded:
    """The last epoch is done; the model is evaluated next."""


@dataclass(frozen=True)
class Note:
    """A message for the user."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A warning for the user."""

    text: str


@dataclass(frozen=True)
class RowsPredicted:
    """`rows` of new data have their predictions; sent with 0 once the model is loaded."""

    rows: int


@dataclass(frozen=True)
class RunOpened:
    """The command has a run, whose artifacts are in this folder."""

    run_dir: Path


@dataclass(frozen=True)
class JobsPlanned:
    """Jobs with these names are about to run, at most `jobs` at a time. Sent again for each further round of jobs."""

    names: Sequence[str]
    jobs: int


@dataclass(frozen=True)
class JobEvent:
    """An event of one job; `index` is its place in the round that was planned last."""

    index: int
    event: Event


@dataclass(frozen=True)
class JobFinished:
    """A job of the current round has succeeded."""

    index: int
    result: Result


@dataclass(frozen=True)
class SearchStarted:
    """A sweep that is one of several is about to be planned; `name` says which."""

    name: str


@dataclass(frozen=True)
class SearchEnded:
    """The sweep that started last has ended, in any way."""


@dataclass(frozen=True)
class SweepPlanned:
    """A sweep is about to start, or to continue after `earlier` trials.

    Attributes:
        description: what is searched, for the user: label to text.
        total: the number of trials, earlier ones included.
        objective: the metric that trials are compared by; the first of several.
        earlier: trials from before the sweep was resumed.
    """

    description: Mapping[str, str]
    total: int
    objective: Objective
    earlier: Sequence[Trial]


@dataclass(frozen=True)
class TrialStarted:
    """A trial, or its next fold (counted from 0), is about to be trained."""

    trial: Trial
    fold: int
    folds: int


@dataclass(frozen=True)
class TrialEvent:
    """An event of the job that trains a trial, or one fold of it."""

    trial: Trial
    event: Event


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended in any way; `best` is the best of all trials so far."""

    trial: Trial
    best: Trial | None


@dataclass(frozen=True)
class RefitStarted:
    """A sweep's trials are done; the best one is about to be trained on all rows but the final test rows."""


Event = (
    FeaturesComputed
    | TrainingStarted
    | StepsDone
    | EpochDone
    | TrainingEnded
    | Note
    | Warned
    | RowsPredicted
    | RunOpened
    | JobsPlanned
    | JobEvent
    | JobFinished
    | SearchStarted
    | SearchEnded
    | SweepPlanned
    | TrialStarted
    | TrialEvent
    | TrialEnded
    | RefitStarted
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event."""
