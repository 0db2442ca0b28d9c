"""What every task can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Set
from typing import Any, ClassVar

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric

from dlcli.datasets.data import TargetKind


class Task(nn.Module, ABC):
    """The meaning of a model's outputs: what they should be, what they are worth, how a person reads them.

    Targets come in two forms. `y` in numpy is as `Data` has it, in the user's own codes or unit; `y` as a Tensor is
    encoded, as a batch holds it. A module, so that what it needs for the loss moves to the device with it.

    A task gets, by name, the facts that its `__init__` asks for: those of `target_facts`, and what its `tune` found.

    Attributes:
        kind: the kind of targets that its loss has to be for.
        accepts: kinds of targets that it can be given.
        num_outputs: outputs of the model for each row.
        criterion: the loss.
        metric_names: names of all metrics, in the order of a report.
        epoch_metrics: those that are cheap enough for each epoch; a monitored one is added.
    """

    kind: ClassVar[TargetKind]
    accepts: ClassVar[Set[TargetKind]]
    num_outputs: int
    criterion: nn.Module
    metric_names: tuple[str, ...]
    epoch_metrics: tuple[str, ...]

    @abstractmethod
    def encode(self, y: Any) -> Any:
        """Targets as batches hold them: an array, or a `dlcli.training.fields.Field`."""

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss of some rows, a scalar."""
        return self.criterion(outputs, y)

    @abstractmethod
    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What metrics compare: predictions (probabilities, or values in the user's unit) and targets."""

    def judged_too(self, outputs: Tensor) -> dict[str, Tensor]:
        """What some metrics ask for by name in their `update`, beside what all of them get."""
        return {}

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """New metrics of what `judged` gives, under the names that the record uses."""

    @abstractmethod
    def baseline(self) -> tuple[Task, Tensor]:
        """A guess that looks at no row (most frequent class, mean): its outputs `(num_outputs,)`, and who judges them.

        Who judges is this task, but for thresholds: the most frequent class is the same whatever they are.
        """

    def guesses(self, x: Any) -> dict[str, tuple[Task, Tensor]]:
        """Baselines for raw rows `x`: outputs `(N, num_outputs)`, and who judges them. The first has no name."""
        task, guess = self.baseline()
        return {"": (task, guess.expand(len(x), -1))}

    def guess_words(self) -> dict[str, str]:
        """What `guesses` repeat, by name, for a sentence about those that have one; nothing where none has."""
        return {}

    @abstractmethod
    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """What a person reads: one row a prediction, in the user's own labels or unit."""

    @abstractmethod
    def targets(self, y: Any) -> pd.DataFrame:
        """Targets as the user wrote them, one row each."""

    @abstractmethod
    def describe(self) -> str:
        """The task in words, for the panel."""

    def read_back(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """What `judged` and `judged_too` gave, out of a table with the columns of `targets` and of `predictions`.

        None where the table does not say it: then the rows cannot be judged a second time.
        """
        return None

    def tune(self, outputs: Tensor, y: Any) -> dict[str, Any]:
        """Facts found on validation rows with the best weights (a threshold), handed to `__init__` on loading.

        Those that are numbers are figures of the record.
        """
        return {}

    def tuned(self) -> str:
        """What `tune` found, in words."""
        return ""

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame | None:
        """Figures of each class or target, where a row of figures does not say all."""
        return None

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Positions of the rows that were judged worst, the worst first, and what to say of each."""
        return []

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Names and pictures of some rows' outputs, for `plots/`."""
        return iter(())


def prior_logits(counts: Tensor) -> Tensor:
    """Logits whose probabilities are the shares of `counts` `(C,)`; of a class without rows, almost 0."""
    shares = counts.double() / counts.sum()
    return shares.clamp_min(torch.finfo(torch.float32).eps).log().float()
