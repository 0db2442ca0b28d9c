"""The interface of all tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pandas as pd
import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.notices import Notice
from dlcli.tasks.chosen_metrics import ChosenMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlcli.training.turns import Turn


OutputsOf = Literal["row", "word", "token", "next_token"]

# A share of rows to cover.
Coverage = Annotated[float, Gt(0), Lt(1)]

# Batch size of an evaluation with small outputs.
_EVALUATED = 512


class Task(ChosenMetrics, ABC):
    """Base class of tasks: target encoding, loss, metrics and readable predictions for a model's outputs.

    Targets come in two forms. `y` as a numpy array is the target of `Data`, in the user's own codes or unit; `y` as a
    Tensor is encoded, as in a batch. A task is a module so that its buffers move to the device together with the model.

    The parameters of `__init__` are filled by name from `target_facts` and from the result of `tune`.

    A task defines its training step, `step`, and reduces the outputs of a batch: `kept` for evaluation, where the
    targets are known, and `predicted` for new rows. By default both return the outputs unchanged. A task with large
    outputs keeps what its metrics, tables and plots need, one entry per row; methods that take `outputs` of many rows
    receive these entries.

    Attributes of metrics are those of `ChosenMetrics`. Others:

    Attributes:
        accepts: kinds of targets that the task accepts.
        num_outputs: number of model outputs per row.
        outputs_of: unit of the outputs: each `row`, each `word`, each `token` of a context, or the `next_token` after
            each token. A model that supports several of them takes this fact as an argument.
        output_names: names of the outputs of a word, by which a pretrained head is matched.
        own_fields: fields of a batch that only `outputs` reads, and that are not inputs of an exported network.
        padding: padding value of rows with several results, if the longest row differs between batches.
        needs_targets: whether the model computes the loss, so that it also receives the targets in evaluation.
        predicts_rows: whether outputs are predicted from rows; otherwise they are generated for the targets, such as
            images of a class.
        coverage: share of test rows that prediction sets or intervals are to cover, which is measured; None for none.
        rows_of_an_epoch: number of validation rows that are evaluated in each epoch; None for all.
    """

    accepts: ClassVar[Set[TargetKind]]
    num_outputs: int
    predicts_rows: ClassVar[bool] = True
    coverage: float | None = None
    rows_of_an_epoch: int | None = None
    outputs_of: ClassVar[OutputsOf] = "row"
    output_names: tuple[str, ...] = ()
    padding: ClassVar[float] = 0
    own_fields: ClassVar[Set[str]] = frozenset()
    needs_targets: ClassVar[bool] = False

    def attach(self, preprocessing: Any) -> None:
        """Store what the task needs from the fitted preprocessing, such as the tokens of targets."""

    @abstractmethod
    def encode(self, y: Any) -> Any:
        """Return the encoded targets of batches: an array, or a `dlcli.training.fields.Field`."""

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """Return the loss of a batch of training rows, a scalar with gradients, and the network's outputs.

        Args:
            network: `dlcli.training.network.Network`, which maps the batch to outputs.
            batch: fields of the rows, with `y`; of mixed rows also `y_mixed` and their `share` (see `augmentation`).
        """
        outputs = network(batch)
        loss = network.loss(self, outputs, batch["y"])
        if "y_mixed" in batch:
            loss = torch.lerp(loss, network.loss(self, outputs, batch["y_mixed"]), batch["share"])
        return loss, outputs

    def turns(self, network: Any, batch: Mapping[str, Tensor]) -> Iterator[Turn] | None:
        """Yield the loss of each part of the model that is trained in turns; None for one loss, by `step`."""
        return None

    def evaluated(
        self,
        network: Any,
        batch: Mapping[str, Tensor],
        y: Tensor | None = None,
        metrics: Collection[str] | None = None,
    ) -> Any:
        """Return the outputs of a batch in evaluation; a task that generates sequences needs several forward passes.

        Args:
            network: `dlcli.training.network.Network`.
            batch: fields of the rows.
            y: the encoded targets; None for new rows.
            metrics: names of the metrics of a training epoch; None for all, of the saved model.
        """
        return network(batch)

    def outputs(self, made: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the outputs of a batch, given the return value of the model; by default unchanged.

        A task whose targets are in the batch, such as the next tokens of a text, may return their losses.
        """
        return made

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows, a scalar."""
        return self.criterion(outputs, y)

    def kept(self, outputs: Any, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entries of a batch's outputs and targets that evaluation needs, one per row each."""
        return outputs, y

    def training_metrics(self, names: Sequence[str]) -> Sequence[str]:
        """Return the metrics of an epoch that can be computed from the outputs of training steps."""
        return names

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows, a scalar, from the results of `kept`."""
        return self.loss(outputs, y)

    def predicted(self, outputs: Any) -> Tensor:
        """Return the entries of outputs that predictions of new rows need, one per row; `predictions` "
        "describes them."""
        return outputs

    def counts_of_new(self, outputs: Tensor) -> dict[str, int]:
        """Return counts from the results of `predicted`, which are summed over pieces of the new rows."""
        return {}

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices about the predictions of new rows with these counts."""
        return []

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return the required shape of the outputs of a batch with these targets, for messages."""
        return len(y), self.num_outputs

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the batch size of an evaluation for rows of this shape. It is fixed, so that results are "
        "reproducible."""
        return _EVALUATED

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the outputs of an ensemble from those of its K members `(N, K, ...)`; by default their mean.

        Tasks of classes return the logits of the mean probabilities.
        """
        return outputs.mean(dim=1)

    def converted(self, outputs: Tensor, source: Task) -> Tensor:
        """Return the outputs of a model with another task of this kind, `source`, as outputs of this task.

        The two may differ in facts, such as mean and deviation of the targets. By default outputs are unchanged.
        """
        return outputs

    def lost_targets(self, fields: Mapping[str, Any]) -> list[Notice]:
        """Return notices on training rows, given as fields with `y`, whose targets the preprocessing cuts off."""
        return []

    @abstractmethod
    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the metrics' inputs: predictions (probabilities, or values in the user's unit) and targets."""

    def metric_kwargs(self, outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return additional keyword arguments, from outputs and targets, for the metrics whose `update` names them."""
        return {}

    @abstractmethod
    def baseline(self) -> tuple[Task, Tensor]:
        """Return the task and the outputs `(num_outputs,)` of a constant baseline, such as the most frequent class.

        The returned task computes the baseline's metrics. It is this task with the default thresholds of 0.5, so that
        the most frequent class is predicted regardless of tuned thresholds.
        """

    def baselines(self, x: Any, kept: Tensor | None = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the baselines for raw rows `x` by name: the task that evaluates them, and outputs `(N, num_outputs)`.

        The name of the first one is empty. `kept` are the kept entries of the model's own outputs for these rows.
        """
        task, outputs = self.baseline()
        return {"": (task, outputs.expand(len(x), -1))}

    def judged_baselines(self, x: Any, y: Any, kept: Tensor) -> dict[str, tuple[Task, Tensor]]:
        """Return the baselines for raw rows `x` with targets `y`, as kept entries of their outputs.

        By default these are `baselines`; a task whose kept entries depend on the targets overrides this method.
        """
        return self.baselines(x, kept)

    def baseline_descriptions(self) -> dict[str, str]:
        """Return name to description of the `baselines`, for use in a sentence; empty if there is nothing to add."""
        return {}

    @abstractmethod
    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return a readable table with one line per prediction, in the user's own labels or unit."""

    def described(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return a readable table of the results of `predicted` for raw rows `x`; by default `predictions`.

        A task whose predictions are parts of the rows, such as answers in texts, overrides this method.
        """
        return self.predictions(outputs)

    @abstractmethod
    def targets(self, y: Any) -> pd.DataFrame:
        """Return the targets as the user wrote them, one line per row."""

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return the table of evaluated rows: targets and predictions, from which `metric_inputs_of` restores "
        "metrics."""
        return pd.concat([self.targets(y), self.predictions(outputs)], axis=1)

    @abstractmethod
    def describe(self) -> str:
        """Return a short description of the task for the panel."""

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the results of `metric_inputs` and `metric_kwargs` from the columns of `targets` and `predictions`.

        Return None if the table lacks the information, so that the rows cannot be evaluated again.
        """
        return None

    def calibration(self) -> nn.Module | None:
        """Return the calibration of a network's outputs found by `tune`; None without one."""
        return None

    def tune(self, outputs: Tensor, y: Any) -> dict[str, Any]:
        """Return arguments of `__init__` that are tuned on validation rows with the best weights, such as a threshold.

        They are passed to `__init__` when the model is loaded. Numbers among them are recorded as metrics.
        """
        return {}

    def tuned(self) -> str:
        """Return a description of the result of `tune`."""
        return ""

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame | None:
        """Return the metrics per class or target, or None if there is only one target."""
        return None

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the positions of the worst predictions, the worst first, each with a description."""
        return []

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield names and figures of the rows' outputs, for the run's `plots/` folder."""
        return iter(())

    def row_pictures(
        self, images: Any, y: Any, outputs: Callable[[], Tensor], captions: Sequence[str], of: int
    ) -> Figure | None:
        """Return a figure of the worst rows; None for a grid of their images.

        Args:
            images: the images of the worst rows, bytes `(N, H, W)` or `(N, H, W, 3)`.
            y: their targets.
            outputs: function that returns the results of `predicted` for these rows.
            captions: the descriptions of `worst`.
            of: number of all rows.
        """
        return None

    @property
    def keeps_outputs(self) -> bool:
        """Whether `kept` and `predicted` return the outputs unchanged, as for one value per row."""
        kinds = type(self)
        return self.predicts_rows and kinds.kept is Task.kept and kinds.predicted is Task.predicted

    def write_files(self, folder: Path, names: Sequence[str], x: Any, outputs: Tensor) -> pd.DataFrame | None:
        """Write the predictions of some rows as files; return None if the task has no files.

        Args:
            folder: where to write.
            names: a name for each row, without a suffix.
            x: the raw rows.
            outputs: the results of `predicted`.

        Returns:
            Columns with the names of the files, one line per row.
        """
        return None
