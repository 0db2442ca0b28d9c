"""Weights of tokens in units of their log-count ratios, so that a penalty favors tokens that distinguish the classes.

Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification" (2012), section 2.3, multiply
the inputs of a linear classifier by the ratios of naive Bayes. For a penalized model, this is the same as dividing the
weights by them within the penalty, which leaves the inputs, and hence predictions of the saved model, as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.distributed.collectives import summed
from dlcli.models.token_counts import TokenCounts
from dlcli.training.fields import Batch

# Number of rows that are added to those with a token. They have the classes of all rows, so that a token of few rows of
# the most frequent class has a small ratio.
_ADDED_ROWS = 1.0

# Least share of the rows of a class, for one without rows.
_LEAST_SHARE = 1e-6


# Share of the ratios by default, and the share of the rarer of two classes below which equal scales were better.
_SHARE, _RARE = 0.5, 0.2


def automatic_ratios(kind: str, y: Any, rows: np.ndarray) -> tuple[float, str] | None:
    """Return the share of the ratios for texts and the reason; None for tasks without classes.

    Args:
        kind: kind of the task.
        y: targets of all rows; codes of two classes are an array.
        rows: numbers of the training rows.
    """
    if kind not in ("binary", "multiclass", "multilabel"):
        return None
    if kind == "binary":
        share = float(np.mean(np.asarray(y)[rows] == 1))
        if (rare := min(share, 1 - share)) < _RARE:
            return 0.0, f"as only {rare:.0%} of the training texts have the rarer class"
    return _SHARE, "for classes of texts"


class ScaledWeights:
    """A parameter as the product of variables, to which a penalty applies, and fixed positive scales.

    Args:
        parameter: weights of tokens `(V, K)`.
        scales: the scales `(V, K)`.
    """

    def __init__(self, parameter: Tensor, scales: Tensor) -> None:
        self.parameters = [parameter]
        self._scales = scales

    def variables(self) -> Tensor:
        """Return the variables `(V, K)` of the current weights."""
        return self.parameters[0].detach() / self._scales

    @torch.no_grad()
    def apply(self, variables: Tensor) -> None:
        """Set the weights to those of the variables."""
        torch.mul(variables, self._scales, out=self.parameters[0].detach())

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """Return the gradient with respect to the variables, from that of the weights."""
        gradient = self.parameters[0].grad
        return torch.zeros_like(self._scales) if gradient is None else gradient * self._scales


def scaled_by_ratios(model: nn.Module, pieces: Iterable[Batch], share: float) -> ScaledWeights | None:
    """Return the weights of tokens scaled by the ratios of their classes; None if rows have no tokens or no classes.

    The scale of a token is `1 - share + share * r`. For each output, r is the absolute logarithm of the ratio of the
    token's shares among the tokens of rows with and without the class, divided by the root mean square over all tokens.
    Two classes have one output. A text has a statistic of texts if it is above the mean of the training texts.

    Args:
        model: the model, whose weights of tokens have a row per token.
        pieces: batches that together contain all rows (of this process, if there are several).
        share: share of the ratios, below 1.
    """
    table = next((one.weight for one in model.modules() if isinstance(one, nn.EmbeddingBag)), None)
    if table is None:
        return None
    counts = table.new_zeros((2, *table.shape))
    rows = table.new_zeros((2, table.shape[1]))
    for piece in pieces:
        marks = _marks(piece["y"], table.shape[1])
        if marks is None:
            return None
        x = piece["x"]
        tokens = x if isinstance(x, TokenCounts) else TokenCounts([piece], len(table))
        both = torch.cat([marks, 1 - marks], dim=1)
        counts += tokens.rows_with_tokens(both).unflatten(1, (2, -1)).movedim(1, 0)
        rows += both.sum(0).unflatten(0, (2, -1))
    counts, rows = summed(counts), summed(rows)
    counts += _ADDED_ROWS * (rows / rows.sum(0)).clamp_min(_LEAST_SHARE).unsqueeze(1)
    shares = (counts / counts.sum(dim=1, keepdim=True)).log()
    ratios = (shares[0] - shares[1]).abs()
    mean = ratios.square().mean().sqrt()
    return ScaledWeights(table, 1 - share + share * ratios / mean if mean > 0 else torch.ones_like(ratios))


def _marks(y: Tensor, outputs: int) -> Tensor | None:
    """Return 1 for each row and output whose class or label the row has, else 0, `(N, K)`; None for other targets."""
    if y.ndim == 1 and not y.is_floating_point():
        return nn.functional.one_hot(y, outputs).float()
    known = y.ndim == 2 and y.shape[1] == outputs and bool(((y == 0) | (y == 1)).all())
    return y.float() if known else None
