"""The interface of all tasks."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Gt, Lt
from torch import Tensor, nn

from dlcli.tasks.batch_steps import BatchSteps
from dlcli.tasks.results_of_rows import ResultsOfRows

# A share of rows to cover.
Coverage = Annotated[float, Gt(0), Lt(1)]


class Task(BatchSteps, ResultsOfRows):
    """Base class of tasks: target encoding, loss, metrics and readable predictions for a model's outputs.

    The interface has three parts, of which a task needs the first:

    - `Essentials`: targets, loss, metrics' inputs, predictions, breakdown and plots;
    - `BatchSteps`: what of a batch's outputs is kept, for outputs that are large, generated, or combined;
    - `ResultsOfRows`: several baselines, tables and notices of rows, and predictions as files.

    What is tuned on validation rows, such as a threshold, is here.

    Attributes:
        coverage: share of test rows that prediction sets or intervals are to cover, which is measured; None for none.
    """

    coverage: float | None = None

    @property
    def tunes(self) -> bool:
        """Whether `tune` may return anything; otherwise a pass over the validation rows is saved."""
        return type(self).tune is not Task.tune

    def tune(self, outputs: Tensor, y: Any) -> dict[str, Any]:
        """Return arguments of `__init__` that are tuned on validation rows with the best weights, such as a threshold.

        They are passed to `__init__` when the model is loaded. Numbers among them are recorded as metrics.
        """
        return {}

    def tuned(self) -> str:
        """Return a description of the result of `tune`."""
        return ""

    def calibration(self) -> nn.Module | None:
        """Return the calibration of a network's outputs found by `tune`; None without one."""
        return None
