"""ResNet for tables: blocks of two dense layers with shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Depth, Residual, Share, Size
from dlcli.models.number_embeddings import Bins, Frequency, NumberEmbedding, Quantiles
from dlcli.models.table_inputs import embedded, table_inputs


class TableResNet(nn.Module):
    """A dense layer, blocks with shortcuts, and a linear output (Gorishniy et al., "Revisiting Deep Learning Models for
    Tabular Data", 2021, section 3.3).

    A block is batch normalization, a dense layer, ReLU, dropout, a dense layer and dropout.

    Args:
        input_shape: number of columns `(F,)`.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column; each column gets an embedding.
        quantiles: quantiles of each column over the training rows, see `NumberVectors`.
        hidden: number of units between the blocks.
        blocks: number of blocks.
        expansion: number of units within a block, as a multiple of `hidden`.
        dropout: dropout rate within a block.
        residual_dropout: dropout rate at the end of a block.
        numbers: embedding of numbers: `plain` (none), `piecewise` or `periodic`; see `dlcli.models.number_embeddings`.
        number_size: size of the embedding of a number.
        bins: number of bins of piecewise functions, and of frequencies of periodic ones.
        frequency: standard deviation of the initial frequencies.
    """

    accepts: ClassVar = {"table"}
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "blocks": "range(1,5)",
        "dropout": "interval(0,0.5)",
        "numbers": "plain,piecewise,periodic",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        quantiles: Quantiles | None = None,
        hidden: Size = 128,
        blocks: Depth = 2,
        expansion: Size = 2,
        dropout: Share = 0.2,
        residual_dropout: Share = 0.0,
        numbers: NumberEmbedding = "plain",
        number_size: Size = 16,
        bins: Bins = 32,
        frequency: Frequency = 0.1,
    ) -> None:
        super().__init__()
        self.numbers, self.categories, inputs = table_inputs(
            input_shape, cardinalities, quantiles, numbers, number_size, bins, frequency
        )
        within = expansion * hidden
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            *(
                Residual(
                    nn.Sequential(
                        nn.BatchNorm1d(hidden),
                        nn.Linear(hidden, within),
                        nn.ReLU(),
                        *shared.dropout(dropout),
                        nn.Linear(within, hidden),
                        *shared.dropout(residual_dropout),
                    )
                )
                for _ in range(blocks)
            ),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """Map `(N, F)` and codes `(N, K)` of categories to `(N, num_outputs)`."""
        return self.layers(embedded(x, x_cat, self.numbers, self.categories))
