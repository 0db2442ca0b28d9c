"""What a task does with a batch, where a vector of outputs per row is not all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from dlcli.tasks.essentials import Essentials

if TYPE_CHECKING:
    from dlcli.training.turns import Turn

OutputsOf = Literal["row", "word", "token", "next_token", "masked_token", "step", "text"]

# Batch size of an evaluation with small outputs.
_EVALUATED = 512


class BatchSteps(Essentials):
    """Steps of training, evaluation and prediction, with the defaults of a vector of outputs per row.

    A task defines its training step, `step`, and reduces the outputs of a batch: `kept` for evaluation, where the
    targets are known, and `predicted` for new rows. By default both return the outputs unchanged. A task with large
    outputs keeps what its metrics, tables and plots need, one entry per row; methods that take `outputs` of many rows
    receive these entries.

    Attributes:
        outputs_of: unit of the outputs: each `row`, each `word`, each `token` of a context, the `next_token` after each
            token, each `masked_token`, or each `step` of a sequence. A model that supports several of them takes this
            fact as an argument.
        own_fields: fields of a batch that only `outputs` reads, and that are not inputs of an exported network.
        padding: padding value of rows with several results, if the longest row differs between batches.
        kept_differs: whether what is kept of a row differs in length between models, such as those of folds.
        needs_targets: whether the model computes the loss, so that it also receives the targets in evaluation.
        predicts_rows: whether outputs are predicted from rows; otherwise they are generated for the targets, such as
            images of a class.
        rows_of_an_epoch: number of validation rows that are evaluated in each epoch; None for all.
        in_sequence: whether neighbouring rows depend on each other, such as windows of a series.
        judges_training_rows: whether metrics are computed from the outputs of training steps.
    """

    outputs_of: ClassVar[OutputsOf] = "row"
    own_fields: ClassVar[Set[str]] = frozenset()
    padding: ClassVar[float] = 0
    kept_differs: ClassVar[bool] = False
    needs_targets: ClassVar[bool] = False
    predicts_rows: ClassVar[bool] = True
    rows_of_an_epoch: int | None = None
    in_sequence: ClassVar[bool] = False
    judges_training_rows: ClassVar[bool] = True

    def attach(self, preprocessing: Any) -> None:
        """Store what the task needs from the fitted preprocessing, such as the tokens of targets."""

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

    def kept(self, outputs: Any, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entries of a batch's outputs and targets that evaluation needs, one per row each."""
        return outputs, y

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows, a scalar, from the results of `kept`."""
        return self.loss(outputs, y)

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of rows, tokens or words that `kept_loss` is the mean of: its weight in further means."""
        return len(y)

    def predicted(self, outputs: Any) -> Tensor:
        """Return the entries of outputs that predictions of new rows need, one per row; `predictions`
        describes them."""
        return outputs

    @property
    def keeps_outputs(self) -> bool:
        """Whether `kept` and `predicted` return the outputs unchanged, as for one value per row."""
        kinds = type(self)
        return (
            self.predicts_rows and kinds.kept is BatchSteps.kept and kinds.predicted is BatchSteps.predicted
        )

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return the required shape of the outputs of a batch with these targets, for messages."""
        return len(y), self.num_outputs

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the batch size of an evaluation for rows of this shape. It is fixed, so that results are
        reproducible."""
        return _EVALUATED

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the outputs of an ensemble from those of its K members `(N, K, ...)`; by default their mean.

        Tasks of classes return the logits of the mean probabilities.
        """
        return outputs.mean(dim=1)

    def converted(self, outputs: Tensor, source: Any) -> Tensor:
        """Return the outputs of a model with another task of this kind, `source`, as outputs of this task.

        The two may differ in facts, such as mean and deviation of the targets. By default outputs are unchanged.
        """
        return outputs

    def metric_kwargs(self, outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return additional keyword arguments, from outputs and targets, for the metrics whose `update` names them."""
        return {}
