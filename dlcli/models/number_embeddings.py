"""Embeddings of a table's numbers (Gorishniy et al., "On Embeddings for Numerical Features", 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

# `plain` leaves numbers unchanged.
NumberEmbedding = Literal["plain", "piecewise", "periodic"]
# Number of equal steps at which quantiles of a column are given; bins are derived from these.
QUANTILE_STEPS = 64
# With more columns, `auto` does not embed: embeddings multiply the weights of the first layer by their size.
MOST_COLUMNS = 100
Bins = Annotated[int, Ge(1), Le(QUANTILE_STEPS)]
Frequency = Annotated[float, Gt(0)]
Quantiles = Sequence[Sequence[float]]


class NumberVectors(nn.Module):
    """Embeddings of the numbers in `x` `(N, F)`: `(N, width)`, preceded by the columns without embedding.

    Args:
        quantiles: for each of the F columns its quantiles over the training rows at 0, 1/64, ..., 1; empty for columns
            that are not embedded, such as those of a one-hot encoding.
        kind: `piecewise` or `periodic`.
        size: size of the embedding of a number.
        bins: number of bins of `piecewise`, and of frequencies of `periodic`.
        frequency: standard deviation of the initial frequencies.

    Attributes:
        width: size of a row of the output.
        vectors: the embedding, with outputs `(N, C, size)`; None if no column is embedded.

    Raises:
        ValueError: `quantiles` is None, as for data other than tables. A table without numbers has an empty list.
    """

    embedded: Tensor
    plain: Tensor

    def __init__(
        self,
        quantiles: Quantiles | None,
        kind: Literal["piecewise", "periodic"],
        size: int,
        bins: int,
        frequency: float,
    ) -> None:
        super().__init__()
        if quantiles is None:
            raise ValueError(f"numbers={kind} embeds columns of a table: use numbers=plain for other data")
        embedded = [number for number, column in enumerate(quantiles) if len(column)]
        plain = [number for number, column in enumerate(quantiles) if not len(column)]
        self.register_buffer("embedded", torch.tensor(embedded, dtype=torch.int64), persistent=False)
        self.register_buffer("plain", torch.tensor(plain, dtype=torch.int64), persistent=False)
        self.width = len(plain) + len(embedded) * size
        self.vectors: nn.Module | None = None
        if embedded and kind == "piecewise":
            self.vectors = Piecewise([quantiles[number] for number in embedded], size, bins)
        elif embedded:
            self.vectors = Periodic(len(embedded), size, bins, frequency)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, F)` to `(N, width)`."""
        if self.vectors is None:
            return x
        vectors = self.vectors(x[:, self.embedded]).flatten(1)
        return torch.cat([x[:, self.plain], vectors], dim=1) if len(self.plain) else vectors


class Piecewise(nn.Module):
    """Piecewise-linear functions of each of C numbers, with the bounds of its bins as knots.

    A number is encoded as the share of each bin that lies below it, from 0 to 1 (section 3.2). The lowest and the
    highest bin extend beyond their outer bound by their width times the number of bins, which bounds the encoding of
    outliers next to a narrow bin. The encoding and the number itself are mapped linearly to the embedding, with weights
    of the encoding that start at 0: version B of the authors' package `rtdl_num_embeddings`.

    Args:
        quantiles: quantiles of each column, at equal steps from 0 to 1.
        size: size of the embedding.
        bins: maximum number of bins; equal bounds are merged, so that columns with few values have fewer bins.
    """

    low: Tensor
    per_width: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, quantiles: Quantiles, size: int, bins: int) -> None:
        super().__init__()
        columns = len(quantiles)
        low, per_width = np.zeros((columns, bins)), np.zeros((columns, bins))
        least, most = np.zeros((columns, bins)), np.ones((columns, bins))
        for number, column in enumerate(quantiles):
            steps = np.linspace(0, 1, len(column))
            bounds = np.unique(np.interp(np.linspace(0, 1, bins + 1), steps, column).astype(np.float32))
            count = len(bounds) - 1
            low[number, :count] = bounds[:-1]
            per_width[number, :count] = 1 / np.diff(bounds)  # 0 for missing bins
            least[number, 0], most[number, max(count - 1, 0)] = -bins, 1 + bins
        for name, values in (("low", low), ("per_width", per_width), ("least", least), ("most", most)):
            # Saved with the weights, which are only valid for these bins.
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        bound = 1 / math.sqrt(size)
        first = torch.empty(columns, 1, size).uniform_(-bound, bound)
        self.weight = nn.Parameter(torch.cat([first, torch.zeros(columns, bins, size)], dim=1))
        self.bias = nn.Parameter(torch.empty(columns, 1, size).uniform_(-bound, bound))

    def encode(self, x: Tensor) -> Tensor:
        """Return the shares of the bins, `(N, C, bins)`."""
        shares = (x.unsqueeze(2) - self.low) * self.per_width
        return torch.minimum(torch.maximum(shares, self.least), self.most)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C)` to `(N, C, size)`."""
        inputs = torch.cat([x.unsqueeze(2), self.encode(x)], dim=2)
        return torch.baddbmm(self.bias, inputs.transpose(0, 1), self.weight).transpose(0, 1)


class Periodic(nn.Module):
    """Sines and cosines of each of C numbers with learned frequencies, followed by a linear layer per column and a
    ReLU.

    Section 3.3, with the linear layer and the ReLU of section 3.4.

    Args:
        columns: number of columns, C.
        size: size of the embedding.
        count: number of frequencies.
        frequency: standard deviation of the initial frequencies.
    """

    def __init__(self, columns: int, size: int, count: int, frequency: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(columns, count), 0.0, frequency, -3 * frequency, 3 * frequency)
        )
        bound = 1 / math.sqrt(2 * count)
        self.weight = nn.Parameter(torch.empty(columns, 2 * count, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, 1, size).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C)` to `(N, C, size)`."""
        angles = 2 * math.pi * self.frequencies * x.unsqueeze(2)
        waves = torch.cat([angles.cos(), angles.sin()], dim=2)
        return torch.baddbmm(self.bias, waves.transpose(0, 1), self.weight).transpose(0, 1).relu()
