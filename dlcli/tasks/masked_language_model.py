"""Masked language modelling: prediction of the tokens that are hidden in a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from dlcli.datasets.passages import Passages
from dlcli.preprocessing.pretrained_masked import PretrainedMasked
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.token_sums import TokenSums, cases_of_passages, token_losses, with_number


class MaskedLanguageModel(TokenSums):
    """Masked language modelling with the mean cross-entropy of the masked tokens as loss (Devlin et al., 2019).

    A model returns logits `(N, M, V)` of the masked tokens. The number that is kept of each row besides losses is that
    of the masked tokens that are predicted.

    Args:
        loss: maps outputs and y to the mean loss over the tokens.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        masked: share of the tokens of a row that are masked, by the preprocessing.
    """

    kind: ClassVar = "masked_language_model"
    accepts: ClassVar = {"masked_language_model"}
    default_metrics = ("masked_accuracy", "perplexity")
    outputs_of = "masked_token"
    own_fields = frozenset({"masked_tokens"})
    columns = ("masked", "correct")

    def __init__(
        self,
        loss: nn.Module,
        metrics: Sequence[str | MetricChoice] = ("default",),
        masked: Annotated[float, Gt(0), Le(0.5)] = 0.15,
    ) -> None:
        super().__init__()
        self.criterion = loss
        self.masked = masked
        self._preprocessing: PretrainedMasked | None = None
        self.choose(metrics)

    def attach(self, preprocessing: Any) -> None:
        """Store the fitted preprocessing."""
        self._preprocessing = preprocessing
        self._context = preprocessing.context_

    def outputs(self, made: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the losses `(N, 1 + M)` of the batch's targets; without targets, the logits."""
        if "masked_tokens" not in batch:
            return made
        targets = batch["masked_tokens"]
        return with_number((made.argmax(dim=2) == targets).sum(dim=1), token_losses(made, targets))

    def baseline(self) -> tuple[Task, Tensor]:
        """Return loss and share of right tokens of the most frequent one, as a row of one token."""
        losses = self._of_frequencies()
        shares = (-losses).exp()
        return self, torch.tensor([(shares * losses).sum(), 1.0, shares.max()])

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the kept values for tokens predicted by their frequency in the training rows."""
        assert self._preprocessing is not None
        targets = self._preprocessing.transform(Passages.of(x))["masked_tokens"]
        row = torch.repeat_interleave(torch.arange(len(targets)), targets.lengths)
        losses = self._of_frequencies()
        values = torch.stack(
            [
                losses[targets.values],
                torch.ones(len(row)),
                (targets.values == losses.argmin()).float(),
            ],
            dim=1,
        )
        return {"": (self, torch.zeros(len(targets), 3).index_add_(0, row, values))}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return numbers of masked and of right tokens, loss per masked token, perplexity and accuracy of each row."""
        sums, masked, correct = outputs.double().unbind(dim=1)
        loss = (sums / masked).numpy()
        return pd.DataFrame(
            {
                "masked": masked.numpy().astype(np.int64),
                "correct": correct.numpy().astype(np.int64),
                "loss": loss,
                "perplexity": np.exp(loss),
                "masked_accuracy": (correct / masked).numpy(),
            }
        )

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return the loss of each row, grouped by the length of texts, or by the place in one text."""
        loss = (outputs[:, 0] / outputs[:, 1]).double().numpy()
        return cases_of_passages("loss per masked token", loss, Passages.of(y))

    def describe(self) -> str:
        """Return a description such as `masked language model, loss NextToken`."""
        return f"masked language model, loss {type(self.criterion).__name__}"

    def _of_frequencies(self) -> Tensor:
        """Return the loss of each token by its frequency in the training rows, one added to each count `(V,)`."""
        assert self._preprocessing is not None
        counts = torch.from_numpy(self._preprocessing.token_counts_) + 1.0
        return -(counts / counts.sum()).log().float()
