"""`TokenSums`: what tasks that predict the tokens of texts have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from dlcli.datasets.passages import Passages
from dlcli.preprocessing.language import NO_TARGET
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases, cases_of_texts

# Number of tokens in an evaluation batch, which limits the memory of logits. On a CPU, larger batches take longer per
# token.
_TOKENS = 1 << 11

# Loss of a position without a target; losses of tokens are never negative.
_NONE = -1.0


class TokenSums(Task):
    """A task whose targets are tokens of the rows, with their mean cross-entropy as loss.

    The outputs `(N, 1 + T)` are another number of each row, and the loss of each of its targets in nats, -1 for none.
    Of each row, the sum of losses, the number of targets and the other number are kept, `(N, 3)`.

    Attributes:
        columns: names of the numbers in tables of predictions.
    """

    in_sequence: ClassVar = True
    columns: ClassVar[tuple[str, str]]
    # Columns of the kept values of a row.
    num_outputs = 3
    # Number of tokens of the longest training row.
    _context = 1

    def encode(self, y: Any) -> Any:
        """Return the number of characters of each row, int64 `(N,)`; the target tokens are fields of the batch."""
        return y.characters if isinstance(y, Passages) else np.asarray(y, np.int64)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the targets, a scalar."""
        return self.criterion(outputs, y)

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the results of `predicted`, and empty targets `(N, 0)`."""
        return self.predicted(outputs), outputs.new_zeros(len(outputs), 0)

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the targets of all rows."""
        totals = outputs.double().sum(dim=0)
        return (totals[0] / totals[1]).float()

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of targets of the rows."""
        return float(outputs[:, 1].double().sum())

    def predicted(self, outputs: Tensor) -> Tensor:
        """Return sum of losses, number of targets and the other number of each row, `(N, 3)`."""
        losses = outputs[:, 1:]
        there = (losses >= 0).to(losses.dtype)
        return torch.stack([(losses * there).sum(dim=1), there.sum(dim=1), outputs[:, 0]], dim=1)

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, T, V)`, with 0 for sizes that the targets do not determine."""
        return len(y), 0, 0

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the number of rows with about two thousand tokens."""
        return max(1, _TOKENS // max(1, input_shape[0] or self._context))

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is kept of the rows, `(N, 3)`."""
        return outputs, y

    def baseline_descriptions(self) -> dict[str, str]:
        """Return no descriptions."""
        return {}

    def targets(self, y: Any) -> pd.DataFrame:
        """Return no columns: the targets are the text itself."""
        return pd.DataFrame(index=range(len(y)))

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore what is kept of the rows, `(N, 3)`."""
        names = ("loss", *self.columns)
        if not set(names) <= set(table.columns):
            return None
        loss, targets, other = (table[name].to_numpy(np.float64) for name in names)
        loss = np.where(targets == 0, 0.0, loss)  # an empty text has no loss
        kept = torch.from_numpy(np.stack([loss * targets, targets, other], axis=1))
        return kept, torch.empty(len(table), 0), {}

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the rows in descending order of loss."""
        loss = (outputs[:, 0] / outputs[:, 1]).numpy()
        order = np.argsort(-loss, kind="stable")
        return [(int(row), f"loss {loss[row]:.2f}") for row in order]


def cases_of_passages(what: str, values: np.ndarray, rows: Passages) -> Cases:
    """Return a value of each row, grouped by the length of texts, or by the place in one text."""
    if rows.are_documents:
        return cases_of_texts(what, "texts", values, {"characters of the text": rows.characters.tolist()})
    found = cases_of_texts(what, "pieces of the text", values, {"place in the text": rows.starts.tolist()})
    note = "Neighbouring pieces of a text resemble each other: the intervals may be too short."
    return replace(found, note=note)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the losses `(N, T)` of targets `(N, T)` from logits `(N, T, V)`; -1 without a target."""
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET, reduction="none"
    ).view_as(targets)
    return torch.where(targets == NO_TARGET, _NONE, losses)


def with_number(number: Tensor, losses: Tensor) -> Tensor:
    """Return outputs `(N, 1 + T)` from another number of each row `(N,)` and its losses."""
    return torch.cat([number.to(losses.dtype).unsqueeze(1), losses], dim=1)
