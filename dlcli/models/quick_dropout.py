"""Dropout of large activations on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Values of 16 random bits.
_VALUES = 1 << 16

# Number of elements below which the calls take longer than the draws of `nn.Dropout`.
_SMALL = 4096


class QuickDropout(nn.Dropout):
    """Dropout whose masks take a third of the time of `nn.Dropout` on a CPU, where torch draws each element by itself.

    Four elements share a random number of 64 bits from torch's generator: an element is dropped if its 16 bits are
    below the rate. The rate is thereby rounded to a multiple of 1/65,536, and the kept elements are scaled by the
    rounded rate, so that the expectation is exact. For few elements, on other devices, and in evaluation, it is
    `nn.Dropout`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a tensor like `input`, `(...)`."""
        dropped, size = round(self.p * _VALUES), input.numel()
        if not self.training or input.device.type != "cpu" or size < _SMALL or not 0 < dropped < _VALUES:
            return super().forward(input)
        bits = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        kept = bits.view(torch.int16)[:size] >= dropped - _VALUES // 2
        mask = kept.view(input.shape).to(input.dtype).mul_(_VALUES / (_VALUES - dropped))
        return input * mask
