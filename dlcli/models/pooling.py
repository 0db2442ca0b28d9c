"""Pooling of a sequence of states to one vector."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from dlcli.models.sequences import present

Pooling = Literal["last", "mean", "max", "attention"]


class SequencePooling(nn.Module):
    """Pools `(N, T, F)` to `(N, F)`: the last step, the mean or maximum over steps, or an attention-weighted mean.

    For `attention`, the weights are the softmax over steps of a learned linear function of the states (Yang et al.,
    Hierarchical Attention Networks, 2016, without the hidden layer).
    """

    def __init__(self, kind: Pooling, features: int) -> None:
        super().__init__()
        self.kind = kind
        # No bias, because the softmax is invariant to a constant added to all scores.
        self.score = nn.Linear(features, 1, bias=False) if kind == "attention" else None

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return one vector per row; steps beyond the row's length in `lengths` `(N,)` are ignored."""
        if lengths is None:
            return self._pool(states)
        if self.kind == "last":
            return states[torch.arange(states.shape[0], device=states.device), lengths - 1]
        padding = ~present(lengths, states.shape[1]).unsqueeze(2)
        if self.score is not None:
            weights = self.score(states).masked_fill(padding, -math.inf).softmax(dim=1)
            return (weights * states).sum(dim=1)
        if self.kind == "mean":
            return states.masked_fill(padding, 0).sum(dim=1) / lengths.unsqueeze(1)
        return states.masked_fill(padding, -math.inf).amax(dim=1)

    def _pool(self, states: Tensor) -> Tensor:
        if self.score is not None:
            return (self.score(states).softmax(dim=1) * states).sum(dim=1)
        if self.kind == "last":
            return states[:, -1]
        return states.mean(dim=1) if self.kind == "mean" else states.amax(dim=1)
