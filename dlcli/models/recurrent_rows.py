"""Recurrent layers over rows of different lengths: packed by torch, or as a loop over the steps in programs."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def through_rows(layers: nn.Module, sequence: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
    """Return the states `(N, T, D * H)`, 0 after the end of a row, and the final state of each layer and direction.

    The backward direction starts at each row's end. Packing needs the lengths on the CPU.

    Args:
        layers: recurrent layers with the batch first.
        sequence: steps `(N, T, F)`.
        lengths: number of steps of each row `(N,)`.
    """
    if isinstance(layers, SteppedLayers):
        return layers(sequence, lengths=lengths)
    packed = pack_padded_sequence(sequence, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states, last = layers(packed)
    return pad_packed_sequence(states, batch_first=True, total_length=sequence.shape[1])[0], last


class SteppedLayers(nn.Module):
    """The layers of `nn.RNN`, `nn.LSTM` or `nn.GRU` in evaluation, as a loop whose number of steps is not fixed.

    `torch.export` would unroll the layers of torch over the steps of its example.

    Args:
        layers: the layers, whose weights are used.
    """

    def __init__(self, layers: nn.RNNBase) -> None:
        super().__init__()
        # The compiler, which dlcli defers, must be loaded before the program is traced.
        importlib.import_module("torch._dynamo.eval_frame")
        # There is no public name of it yet.
        self._scan = importlib.import_module("torch._higher_order_ops").scan
        self.kind, self.batch_first = layers.mode, layers.batch_first
        self.bidirectional = layers.bidirectional
        self.cells = nn.ParameterList(weight for weights in layers.all_weights for weight in weights)
        self._each = len(layers.all_weights[0])
        self._directions = 2 if layers.bidirectional else 1

    @classmethod
    def fits(cls, layers: nn.Module) -> bool:
        """Return whether layers can be replaced: they are of torch, and without a projection of their states."""
        return isinstance(layers, nn.RNN | nn.LSTM | nn.GRU) and not layers.proj_size

    def forward(
        self, sequence: Tensor, state: Any = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Return the states and the final states, as the layers of torch do; see `through_rows` for `lengths`."""
        x = sequence if self.batch_first else sequence.transpose(0, 1)
        steps = torch.arange(x.shape[1], device=x.device)
        ends = torch.full_like(x[:, 0, 0], 0, dtype=torch.int64) + x.shape[1] if lengths is None else lengths
        present = steps < ends.unsqueeze(1)
        turned = torch.where(present, ends.unsqueeze(1) - 1 - steps, steps)
        begin = _parts(state)
        last: list[tuple[Tensor, ...]] = []
        for layer in range(len(self.cells) // self._each // self._directions):
            found = []
            for direction in range(self._directions):
                place = layer * self._directions + direction
                own = tuple(part[place] for part in begin) if begin else None
                read = _in_order(x, turned) if direction else x
                states, ended = self._one(place, read, present, own)
                found.append(_in_order(states, turned) if direction else states)
                last.append(ended)
            x = torch.cat(found, dim=2)
        finals = tuple(torch.stack(several) for several in zip(*last, strict=True))
        states = x if self.batch_first else x.transpose(0, 1)
        return states, finals if self.kind == "LSTM" else finals[0]

    def _one(
        self, place: int, x: Tensor, present: Tensor, begin: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the states `(N, T, H)` of one layer and direction, and its final state."""
        weights = list(self.cells)[place * self._each : (place + 1) * self._each]
        own, bias = weights[1].T, weights[3] if self._each > 2 else x.new_zeros(())
        gates = x @ weights[0].T + (weights[2] if self._each > 2 else 0)
        empty = x.new_zeros(x.shape[0], own.shape[0])
        step = {"LSTM": _lstm, "GRU": _gru, "RNN_TANH": _tanh, "RNN_RELU": _relu}[self.kind]
        hidden, cell = (*begin, empty)[:2] if begin else (empty, empty.clone())

        def one(before: tuple[Tensor, Tensor], given: tuple[Tensor, Tensor]) -> Any:
            hidden, cell = before
            gate, is_there = given
            found, kept = step(gate, hidden @ own + bias, hidden, cell)
            there = is_there.unsqueeze(1)
            after = torch.where(there, found, hidden), torch.where(there, kept, cell)
            return after, torch.where(there, found, torch.zeros_like(found))

        ended, states = self._scan(one, (hidden, cell), (gates.transpose(0, 1), present.T), dim=0)
        return states.transpose(0, 1), ended[: 2 if self.kind == "LSTM" else 1]


def _lstm(gate: Tensor, own: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    enter, keep, value, leave = (gate + own).chunk(4, dim=1)
    kept = keep.sigmoid() * cell + enter.sigmoid() * value.tanh()
    return leave.sigmoid() * kept.tanh(), kept


def _gru(gate: Tensor, own: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    reset, update, value = gate.chunk(3, dim=1)
    own_reset, own_update, own_value = own.chunk(3, dim=1)
    share = (update + own_update).sigmoid()
    new = (value + (reset + own_reset).sigmoid() * own_value).tanh()
    return (1 - share) * new + share * hidden, cell


def _tanh(gate: Tensor, own: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    return (gate + own).tanh(), cell


def _relu(gate: Tensor, own: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    return (gate + own).relu(), cell


def _parts(state: Any) -> tuple[Tensor, ...]:
    """Return the tensors of an initial state; none for a state of 0."""
    if state is None:
        return ()
    return tuple(state) if isinstance(state, tuple) else (state,)


def _in_order(values: Tensor, order: Tensor) -> Tensor:
    """Return the steps of values `(N, T, F)` in the order `(N, T)`."""
    return values.gather(1, order.unsqueeze(2).expand(-1, -1, values.shape[2]))
