"""GPT: a transformer decoder that predicts the next token (Radford et al., 2019)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.layers import Depth, Share, Size

# Keys and values of a layer for the tokens so far, `(N, heads, T, size)` each.
Cache = list[tuple[Tensor, Tensor]]

# Standard deviation of initial embeddings.
_EMBEDDED = 0.02


class GPT(nn.Module):
    """Token and position embeddings, layers of causal self-attention and a feed-forward network, and tied logits.

    Layers normalize their input (pre-norm). The output layer has the weights of the token embedding. Embeddings are
    initialized with a standard deviation of 0.02, weights of layers with `initial_std`, and projections to the residual
    stream with `initial_std / sqrt(2 * layers)`.

    Args:
        vocab_size: number of tokens.
        context: maximum number of tokens of an input. Longer rows are processed in pieces of this length.
        hidden: size of a token's state; must be divisible by `heads`.
        layers: number of layers.
        heads: number of attention heads per layer.
        dropout: dropout rate after the embedding, of attention and after each part of a layer.
        bias: whether linear and normalization layers have biases.
        initial_std: standard deviation of the initial weights of layers; GPT-2, of width 768 and more, has 0.02.

    Raises:
        ValueError: `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"tokens"}
    targets: ClassVar = {"language_model"}
    search_space: ClassVar = {"hidden": "64,128,192", "layers": "2,4,6", "dropout": "interval(0,0.3)"}

    def __init__(
        self,
        vocab_size: int,
        context: Annotated[int, Ge(1)],
        hidden: Size = 128,
        layers: Depth = 4,
        heads: Size = 4,
        dropout: Share = 0.0,
        bias: bool = False,
        initial_std: Annotated[float, Gt(0)] = 0.02,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        self.context = context
        self.longest_text = context  # for exported programs
        self.tokens = nn.Embedding(vocab_size, hidden)
        self.positions = nn.Embedding(context, hidden)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(_Layer(hidden, heads, dropout, bias) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden, bias=bias)
        self._initialize(initial_std)

    def _initialize(self, initial_std: float) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
                continue
            std = initial_std if name.startswith("layers.") else _EMBEDDED
            if name.endswith("project.weight"):
                std /= math.sqrt(2 * len(self.layers))
            nn.init.normal_(parameter, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `(N, T)` to logits of the token after each, `(N, T, V)`."""
        if x.shape[1] <= self.context:
            return self._logits(x, None)
        return torch.cat([self._logits(piece, None) for piece in x.split(self.context, dim=1)], dim=1)

    def continued(self, x: Tensor, state: Cache | None) -> tuple[Tensor, Cache]:
        """Return the logits `(N, V)` after the last of the new tokens `(N, T)`, and the state for the next call.

        `state` contains the keys and values of the previous tokens; with the new ones there are at most `context`. None
        begins a text.
        """
        cache: Cache = [] if state is None else list(state)
        logits = self._logits(x, cache, last=True)
        return logits[:, -1], cache

    def _logits(self, x: Tensor, cache: Cache | None, last: bool = False) -> Tensor:
        done = cache[0][0].shape[2] if cache else 0
        places = torch.arange(done, done + x.shape[1], device=x.device)
        states = self.drop(self.tokens(x) + self.positions(places))
        for number, layer in enumerate(self.layers):
            states = layer(states, cache, number)
        states = self.norm(states[:, -1:] if last else states)
        return functional.linear(states, self.tokens.weight)


class _Layer(nn.Module):
    """Causal self-attention and a feed-forward network, each added to its normalized input."""

    def __init__(self, hidden: int, heads: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(hidden, bias=bias)
        self.attention = nn.Linear(hidden, 3 * hidden, bias=bias)
        self.attended = _Projection(hidden, hidden, dropout, bias)
        self.norm = nn.LayerNorm(hidden, bias=bias)
        self.widen = nn.Linear(hidden, 4 * hidden, bias=bias)
        self.narrow = _Projection(4 * hidden, hidden, dropout, bias)

    def forward(self, states: Tensor, cache: Cache | None, number: int) -> Tensor:
        """Return the states `(N, T, hidden)` after the layer; keys and values are added to a `cache`."""
        rows, steps, hidden = states.shape
        query, key, value = (
            part.view(rows, steps, self.heads, -1).transpose(1, 2)
            for part in self.attention(self.attention_norm(states)).split(hidden, dim=2)
        )
        mask, causal = None, True
        if cache is not None:
            if number < len(cache):
                causal = False
                key, value = (
                    torch.cat(pair, dim=2) for pair in zip(cache[number], (key, value), strict=True)
                )
                # A single token attends to all previous ones; several need a causal mask.
                if steps > 1:
                    mask = torch.ones(steps, key.shape[2], dtype=torch.bool, device=key.device)
                    mask = mask.tril(key.shape[2] - steps)
                cache[number] = (key, value)
            else:
                cache.append((key, value))
        found = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        states = states + self.attended(found.transpose(1, 2).reshape(rows, steps, hidden))
        return states + self.narrow(functional.gelu(self.widen(self.norm(states))))


class _Projection(nn.Module):
    """Linear layer with dropout whose output is added to the residual stream."""

    def __init__(self, inputs: int, outputs: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, outputs, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.project(x))
