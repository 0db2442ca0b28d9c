"""FT-Transformer: a transformer over the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models.layers import Depth, Share, Size


class FTTransformer(nn.Module):
    """Feature tokenizer and transformer (Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", 2021).

    Each column becomes a token: a number times a vector plus a bias, a category's embedding plus a bias. The outputs
    are computed from the last state of an additional token. Blocks use pre-normalization, the first one without its
    normalization before the attention, and ReGLU in the feed-forward network (appendix E.1).

    Args:
        input_shape: number of columns `(F,)`.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column.
        hidden: size of a token; must be divisible by `heads`.
        layers: number of blocks.
        heads: number of attention heads of a block.
        feedforward: number of units of the feed-forward network of a block.
        attention_dropout: dropout rate of the attention weights.
        dropout: dropout rate within the feed-forward network.

    Raises:
        ValueError: `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"table"}
    search_space: ClassVar = {
        "hidden": "32,64,128",
        "layers": "range(1,4)",
        "attention_dropout": "interval(0,0.4)",
        "dropout": "interval(0,0.4)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        hidden: Size = 64,
        layers: Depth = 2,
        heads: Size = 4,
        feedforward: Size = 96,
        attention_dropout: Share = 0.1,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        numbers, bound = math.prod(input_shape), 1 / math.sqrt(hidden)
        self.weight = nn.Parameter(torch.empty(numbers, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(numbers + len(cardinalities), hidden).uniform_(-bound, bound))
        self.categories = nn.ModuleList(nn.Embedding(codes, hidden, padding_idx=0) for codes in cardinalities)
        self.readout = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound))
        self.blocks = nn.ModuleList(
            _Block(hidden, heads, feedforward, attention_dropout, dropout, is_first=number == 0)
            for number in range(layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, num_outputs))

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """Map `(N, F)` and codes `(N, K)` of categories to `(N, num_outputs)`."""
        parts = [self.readout.expand(x.shape[0], 1, -1), x.unsqueeze(2) * self.weight]
        if x_cat is not None:
            parts += [column(x_cat[:, number : number + 1]) for number, column in enumerate(self.categories)]
        tokens = torch.cat(parts, dim=1)
        tokens = tokens + nn.functional.pad(self.bias, (0, 0, 1, 0))
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


class _Block(nn.Module):
    """Attention over the tokens and a feed-forward network, each with a shortcut."""

    def __init__(
        self,
        hidden: int,
        heads: int,
        feedforward: int,
        attention_dropout: float,
        dropout: float,
        *,
        is_first: bool,
    ) -> None:
        super().__init__()
        self.norm = nn.Identity() if is_first else nn.LayerNorm(hidden)
        self.attention = nn.MultiheadAttention(hidden, heads, attention_dropout, batch_first=True)
        self.second_norm = nn.LayerNorm(hidden)
        self.expand = nn.Linear(hidden, 2 * feedforward)
        self.drop = nn.Dropout(dropout)
        self.contract = nn.Linear(feedforward, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(N, T, hidden)` to the same shape."""
        normal = self.norm(tokens)
        tokens = tokens + self.attention(normal, normal, normal, need_weights=False)[0]
        values, gates = self.expand(self.second_norm(tokens)).chunk(2, dim=-1)
        return tokens + self.contract(self.drop(values * gates.relu()))
