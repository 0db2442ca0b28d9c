"""TabM: an ensemble of multilayer perceptrons that share most of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Depth, PerLayer, Share, Size
from dlcli.models.number_embeddings import MOST_COLUMNS, Bins, Frequency, NumberEmbedding, Quantiles
from dlcli.models.table_inputs import embedded, table_inputs

# Number of members with `auto`, for tables with up to this number of training rows.
_MEMBERS, _ROWS = 8, 50_000
# With fewer rows per bin, embeddings would overfit. The place of the limit is arbitrary: on eight tables, the loss of
# piecewise numbers is 0.99, 1.00, 1.00 and 1.00 of that of plain ones for 300, 600, 1,200 and 2,400 rows
# (docs/examples-and-measurements.md).
_FEW_ROWS = 1_000


class TabM(nn.Module):
    """`members` perceptrons that are trained together (Gorishniy et al., "TabM", 2024).

    The members share the embeddings and the weights of the hidden layers. They differ in factors of each layer's inputs
    and outputs, in its biases (BatchEnsemble; Wen et al., 2020), and in the output layer. Each member has its own loss,
    and the prediction is the mean of the members' probabilities or values.

    Args:
        input_shape: number of columns `(F,)`.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column; each column gets an embedding.
        quantiles: quantiles of each column over the training rows, see `NumberVectors`.
        training_rows: number of training rows.
        members: number of perceptrons, the paper's k; `auto` follows from the training rows, see `automatic`.
        sharing: `batch_ensemble` (the paper's TabM), or `mini`: only the factors of the first layer's inputs and the
            output layers differ between members (TabM-mini).
        hidden: number of units of all hidden layers, or a list with one number per layer, which sets their number.
        layers: number of hidden layers if `hidden` is one number.
        activation: the activation function.
        dropout: dropout rate after each hidden layer.
        numbers: embedding of numbers (`dlcli.models.number_embeddings`): `plain`, `piecewise` or `periodic`; `auto` is
            `piecewise`, and `plain` for few training rows or many columns of numbers.
        number_size: size of the embedding of a number.
        bins: number of bins of piecewise functions, and of frequencies of periodic ones.
        frequency: standard deviation of the initial frequencies.
    """

    accepts: ClassVar = {"table"}
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "layers": "range(1,4)",
        "dropout": "interval(0,0.4)",
        "numbers": "auto,plain,piecewise",
        "bins": "16,32,64",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        quantiles: Quantiles | None = None,
        training_rows: int = 0,
        members: Size | Literal["auto"] = "auto",
        sharing: Literal["batch_ensemble", "mini"] = "batch_ensemble",
        hidden: PerLayer = 128,
        layers: Depth = 2,
        activation: Activation = "relu",
        dropout: Share = 0.0,
        numbers: NumberEmbedding | Literal["auto"] = "auto",
        number_size: Size = 16,
        bins: Bins = 32,
        frequency: Frequency = 0.1,
    ) -> None:
        super().__init__()
        if members == "auto":  # only in runs of earlier versions
            members = _members(training_rows)
        self.members = members
        if numbers == "auto":
            columns = sum(len(column) > 0 for column in quantiles or ())
            few = training_rows < _FEW_ROWS or not 0 < columns <= MOST_COLUMNS
            numbers = "plain" if few else "piecewise"
        self.numbers, self.categories, inputs = table_inputs(
            input_shape, cardinalities, quantiles, numbers, number_size, bins, frequency
        )
        # Random signs make the members differ from the first step on; all other factors start at 1.
        self.factors = nn.Parameter(torch.randint(0, 2, (members, inputs)).float() * 2 - 1)
        blocks: list[nn.Module] = []
        for number, outputs in enumerate(repeat(hidden, layers) if isinstance(hidden, int) else hidden):
            blocks += [
                nn.Linear(inputs, outputs)
                if sharing == "mini"
                else SharedLinear(members, inputs, outputs, scales_inputs=number > 0),
                shared.activation(activation),
                *shared.dropout(dropout),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.head = MemberLinear(members, inputs, num_outputs)

    @staticmethod
    def automatic(training_rows: int, columns: int) -> dict[str, tuple[Any, str]]:
        """Return the values of `auto` for a number of training rows and of columns of numbers, with the reasons.

        The time of an epoch is proportional to members times rows, while members help less with more rows: there are 8
        members; beyond 50,000 rows, their number is halved for each doubling of the rows, down to one.
        """
        by_rows = f"for {training_rows:,} training rows"
        numbers = ("piecewise", by_rows) if training_rows >= _FEW_ROWS else ("plain", by_rows)
        if not 0 < columns <= MOST_COLUMNS:
            numbers = ("plain", f"for {columns:,} columns of numbers")
        return {"members": (_members(training_rows), by_rows), "numbers": numbers}

    @staticmethod
    def automatic_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Return the values of `auto` of a model with weights of these shapes."""
        numbers = "piecewise" if "numbers.vectors.low" in shapes else "plain"
        return {"members": shapes["factors"][0], "numbers": numbers}

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """Map `(N, F)` and codes `(N, K)` of categories to `(N, members, num_outputs)`."""
        x = embedded(x, x_cat, self.numbers, self.categories)
        return self.head(self.layers(x.unsqueeze(1) * self.factors))


def _members(training_rows: int) -> int:
    members = _MEMBERS
    while members > 1 and training_rows * members > _ROWS * _MEMBERS:
        members //= 2
    return members


class SharedLinear(nn.Module):
    """Linear layer of K members with shared weights: `(x * r) W^T * s + b`, where r, s and b belong to each member.

    Args:
        members: K.
        inputs: features of `x`.
        outputs: features of the result.
        scales_inputs: whether there is a factor r.
    """

    def __init__(self, members: int, inputs: int, outputs: int, *, scales_inputs: bool) -> None:
        super().__init__()
        linear = nn.Linear(inputs, outputs)
        self.weight = linear.weight
        self.r = nn.Parameter(torch.ones(members, inputs)) if scales_inputs else None
        self.s = nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(linear.bias.detach().repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, K, inputs)` to `(N, K, outputs)`."""
        if self.r is not None:
            x = x * self.r
        return nn.functional.linear(x, self.weight) * self.s + self.bias


class MemberLinear(nn.Module):
    """K separate linear layers."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, K, inputs)` to `(N, K, outputs)`."""
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)
