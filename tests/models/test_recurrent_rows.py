"""Recurrent layers as a loop over the steps equal those of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlcli.models.recurrent_rows import SteppedLayers, through_rows


def looped(one: Callable[..., Any], begin: Any, given: tuple[Tensor, ...], dim: int) -> tuple[Any, Tensor]:
    """Return what torch's loop returns, which would be compiled here."""
    found = []
    for step in range(given[0].shape[dim]):
        begin, out = one(begin, tuple(values.select(dim, step) for values in given))
        found.append(out)
    return begin, torch.stack(found, dim=dim)


@pytest.mark.parametrize(
    "layers",
    [
        nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True),
        nn.GRU(3, 4, batch_first=True, bias=False),
        nn.RNN(3, 4, batch_first=True, bidirectional=True),
        nn.RNN(3, 4, batch_first=True, nonlinearity="relu"),
    ],
    ids=["two layers, both directions", "without bias", "tanh", "relu"],
)
def test_states_and_final_states_are_those_of_torch(layers: nn.RNNBase) -> None:
    stepped = SteppedLayers(layers)
    stepped._scan = looped
    x, lengths = torch.randn(5, 7, 3), torch.tensor([3, 7, 1, 6, 2])
    torch.testing.assert_close(through_rows(stepped, x, lengths), through_rows(layers, x, lengths))
    states, state = layers(x)
    torch.testing.assert_close(stepped(x), (states, state))
    torch.testing.assert_close(stepped(x, state), layers(x, state))
