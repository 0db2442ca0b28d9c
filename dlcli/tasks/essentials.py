"""The methods that a task defines: the interface to read first for a task of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from torch import Tensor

from dlcli.config.target_kinds import TargetKind
from dlcli.tasks.chosen_metrics import ChosenMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Essentials(ChosenMetrics, ABC):
    """What each task defines: encoded targets, loss, inputs of metrics, and readable predictions.

    A task of one vector of outputs per row defines the abstract methods, and what of the others it has: `regression.py`
    is an example. Everything else has a default (`Task`).

    Targets come in two forms. `y` as a numpy array is the target of `Data`, in the user's own codes or unit; `y` as a
    Tensor is encoded, as in a batch. A task is a module so that its buffers move to the device together with the model.

    The parameters of `__init__` are filled by name from `target_facts` and from the result of `tune`.

    Attributes of metrics are those of `ChosenMetrics`. Others:

    Attributes:
        accepts: kinds of targets that the task accepts.
        num_outputs: number of model outputs per row.
    """

    accepts: ClassVar[Set[TargetKind]]
    num_outputs: int

    @abstractmethod
    def encode(self, y: Any) -> Any:
        """Return the encoded targets of batches: an array, or a `dlcli.training.fields.Field`."""

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows, a scalar."""
        return self.criterion(outputs, y)

    @abstractmethod
    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the metrics' inputs: predictions (probabilities, or values in the user's unit) and targets."""

    @abstractmethod
    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return a readable table with one line per prediction, in the user's own labels or unit."""

    @abstractmethod
    def targets(self, y: Any) -> pd.DataFrame:
        """Return the targets as the user wrote them, one line per row."""

    @abstractmethod
    def describe(self) -> str:
        """Return a short description of the task for the panel."""

    @abstractmethod
    def baseline(self) -> tuple[Any, Tensor]:
        """Return the task and the outputs `(num_outputs,)` of a constant baseline, such as the most frequent class.

        The returned task computes the baseline's metrics. It is this task with the default thresholds of 0.5, so that
        the most frequent class is predicted regardless of tuned thresholds.
        """

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the results of `metric_inputs` and `metric_kwargs` from the columns of `targets` and `predictions`.

        Return None if the table lacks the information, so that the rows cannot be evaluated again.
        """
        return None

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame | None:
        """Return the metrics per class or target, or None if there is only one target."""
        return None

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the positions of the worst predictions, the worst first, each with a description."""
        return []

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield names and figures of the rows' outputs, for the run's `plots/` folder."""
        return iter(())
