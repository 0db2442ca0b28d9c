"""iTransformer: attention among variables (Liu et al., Inverted Transformers Are Effective for Forecasting, 2024)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.forecasting import Window
from dlcli.models.layers import Activation, Depth, Share, Size


class ITransformer(nn.Module):
    """Transformer encoder with one token per variable, its embedded history; each target is forecast from its token.

    The paper normalizes windows by mean and standard deviation: `preprocessing.relative=revin`.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: outputs per row: horizon times targets times quantiles.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets in a row; by default there is one output per step and target.
        hidden: size of a variable's state; must be divisible by `heads`.
        layers: number of encoder layers.
        heads: number of attention heads per layer.
        feedforward: number of units of the feed-forward network of each encoder layer.
        activation: activation function of the feed-forward network.
        dropout: dropout rate after the embedding and within the layers.

    Raises:
        ValueError: the rows are not windows of a series. Or `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"sequence"}
    takes_variables: ClassVar = True
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "layers": "range(1,4)",
        "dropout": "interval(0,0.4)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        hidden: Size = 128,
        layers: Depth = 2,
        heads: Size = 8,
        feedforward: Size = 128,
        activation: Activation = "gelu",
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        self.window = Window.of(input_shape, num_outputs, lookback, horizon, targets)
        self.embed = nn.Sequential(nn.Linear(input_shape[0], hidden), *shared.dropout(dropout))
        self.layers = shared.encoder_layers(layers, hidden, heads, feedforward, dropout, activation)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, self.window.horizon * self.window.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        states = self.embed(x.transpose(1, 2))
        for layer in self.layers:
            states = layer(states)
        return self.window.by_step(self.head(self.norm(states[:, : self.window.targets])))
