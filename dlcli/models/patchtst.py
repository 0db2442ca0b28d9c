"""PatchTST: a transformer over patches of a series (Nie et al., A Time Series is Worth 64 Words, 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.forecasting import Window
from dlcli.models.layers import Activation, Depth, Share, Size


class PatchTST(nn.Module):
    """Transformer encoder over overlapping patches of a window, and a linear forecast from all patches.

    Reversible instance normalization and independent channels are keys of `preprocessing`.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: outputs per row: horizon times targets times quantiles.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets in a row; by default there is one output per step and target.
        patch: number of steps of a patch.
        stride: number of steps from one patch to the next; the last value is repeated to fill the last patch.
        hidden: size of a patch's state; must be divisible by `heads`.
        layers: number of encoder layers.
        heads: number of attention heads per layer.
        feedforward: number of units of the feed-forward network of each encoder layer.
        activation: activation function of the feed-forward network.
        dropout: dropout rate after the embedding and within the layers.
        head_dropout: dropout rate before the output.
        normalization: of the encoder layers: `batch`, over the patches of all rows after the attention and after the
            feed-forward network, without dropout of the attention weights, as in the paper; or `layer`, before both,
            as in `transformer`.

    Raises:
        ValueError: the rows are not windows of a series. Or `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"sequence"}
    search_space: ClassVar = {
        "hidden": "16,32,64",
        "layers": "range(1,4)",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        patch: Size = 16,
        stride: Size = 8,
        hidden: Size = 16,
        layers: Depth = 3,
        heads: Size = 4,
        feedforward: Size = 128,
        activation: Activation = "gelu",
        dropout: Share = 0.3,
        head_dropout: Share = 0.0,
        normalization: Literal["batch", "layer"] = "layer",
    ) -> None:
        super().__init__()
        features = Window.of(input_shape, num_outputs, lookback, horizon, targets).features
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        steps = input_shape[0]
        self.patch, self.stride = min(patch, steps), stride
        patches = -(-(steps - self.patch) // stride) + 1
        self.missing = self.patch + (patches - 1) * stride - steps
        self.embed = nn.Linear(self.patch * features, hidden)
        self.positions = nn.Parameter(torch.empty(patches, hidden).uniform_(-0.02, 0.02))
        self.drop = nn.Sequential(*shared.dropout(dropout))
        if normalization == "batch":
            self.layers = nn.ModuleList(
                _BatchNormLayer(hidden, heads, feedforward, dropout, activation) for _ in range(layers)
            )
        else:
            self.layers = shared.encoder_layers(
                layers, hidden, heads, feedforward, dropout, activation, norm_first=True
            )
        self.norm = nn.LayerNorm(hidden) if normalization == "layer" else nn.Identity()
        self.head = nn.Sequential(
            nn.Flatten(), *shared.dropout(head_dropout), nn.Linear(patches * hidden, num_outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        if self.missing:
            x = torch.cat([x, x[:, -1:].expand(-1, self.missing, -1)], dim=1)
        patches = x.unfold(1, self.patch, self.stride).flatten(2)  # (N, P, F * patch)
        states = self.drop(self.embed(patches) + self.positions)
        for layer in self.layers:
            states = layer(states)
        return self.head(self.norm(states))


class _BatchNormLayer(nn.Module):
    """Encoder layer with batch normalization after each of its parts.

    `nn.TransformerEncoderLayer` cannot be used: its fast path for inference always computes layer normalization.
    """

    def __init__(self, hidden: int, heads: int, feedforward: int, share: float, name: Activation) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.network = nn.Sequential(
            nn.Linear(hidden, feedforward),
            shared.activation(name),
            *shared.dropout(share),
            nn.Linear(feedforward, hidden),
        )
        self.drop = nn.Sequential(*shared.dropout(share))
        self.first, self.second = _StateNorm(hidden), _StateNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map states `(N, P, hidden)` to new ones."""
        x = self.first(x + self.drop(self.attention(x, x, x, need_weights=False)[0]))
        return self.second(x + self.drop(self.network(x)))


class _StateNorm(nn.BatchNorm1d):
    """Batch normalization of states `(N, P, hidden)` over rows and patches."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
