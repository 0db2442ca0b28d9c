"""Encoder-decoder transformer for sequence-to-sequence learning (Vaswani et al., Attention Is All You Need, 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.layers import Depth, Share, Size
from dlcli.models.sequence_input import present
from dlcli.models.transformer import sinusoids
from dlcli.preprocessing.subwords import START

# Number of positions that are computed in advance; longer rows extend the table.
_POSITIONS = 256


class Seq2SeqTransformer(nn.Module):
    """Encoder and decoder layers with pre-normalization (Xiong et al., 2020), and tied embeddings.

    The output layer has the weights of the target embedding (Press and Wolf, 2017); with a shared vocabulary, so does
    the source embedding. Decoding caches keys and values of earlier tokens, so that each step processes one token.

    Args:
        vocab_size: number of source tokens.
        num_outputs: number of target tokens.
        shares_vocabulary: whether source and target share the vocabulary.
        hidden: size of a token's state; must be divisible by `heads`.
        encoder_layers: number of encoder layers.
        decoder_layers: number of decoder layers.
        heads: number of attention heads per layer.
        feedforward: number of units of the feed-forward network of each layer.
        dropout: dropout rate after the embeddings and at the end of each block.

    Raises:
        ValueError: `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"tokens"}
    targets: ClassVar = {"seq2seq"}
    search_space: ClassVar = {
        "hidden": "128,192,256",
        "encoder_layers": "range(1,5)",
        "decoder_layers": "range(1,5)",
        "dropout": "interval(0,0.3)",
    }
    positions: Tensor

    def __init__(
        self,
        vocab_size: int,
        num_outputs: int,
        shares_vocabulary: bool = False,
        hidden: Size = 256,
        encoder_layers: Depth = 3,
        decoder_layers: Depth = 3,
        heads: Size = 4,
        feedforward: Size = 512,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        self.scale = math.sqrt(hidden)
        self.target_embedding = nn.Embedding(num_outputs, hidden, padding_idx=0)
        # A shared embedding is stored once in the weights.
        self.source_embedding = None if shares_vocabulary else nn.Embedding(vocab_size, hidden, padding_idx=0)
        self.register_buffer("positions", sinusoids(_POSITIONS, hidden), persistent=False)
        self.dropout = nn.Dropout(dropout)
        sizes = (hidden, heads, feedforward, dropout)
        self.encoder = nn.ModuleList(_EncoderLayer(*sizes) for _ in range(encoder_layers))
        self.encoder_norm = nn.LayerNorm(hidden)
        self.decoder = nn.ModuleList(_DecoderLayer(*sizes) for _ in range(decoder_layers))
        self.decoder_norm = nn.LayerNorm(hidden)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=hidden**-0.5)
                with torch.no_grad():
                    module.weight[0] = 0

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the logits `(N, T, num_outputs)` of each target token given the ones before it (teacher forcing).

        Args:
            x: source tokens `(N, S)`, padded with 0.
            lengths: number of tokens of each source `(N,)`.
            y: target tokens `(N, T)`, each row with its end; without them, the encoder's states `(N, S, hidden)` are
                returned.
        """
        states, mask = self._encoded(x, lengths)
        if y is None:
            return states
        found = self._embedded(self.target_embedding, shifted(y), 0)
        for layer in self.decoder:
            found = layer(found, states, mask)
        return self._logits(found)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the memory of the sources for `decode`, and the state before the first token; `(N, ...)` each."""
        states, mask = self._encoded(x, lengths)
        memory = [part for layer in self.layers for part in layer.cross.keys_and_values(states)]
        empty = memory[0][:, :, :0]
        return (mask, *memory), (empty, empty) * len(self.decoder)

    def decode(
        self, tokens: Tensor, memory: tuple[Tensor, ...], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of the next token `(N, num_outputs)` after `tokens` `(N,)`, and the new state."""
        mask, *known = memory
        found = self._embedded(self.target_embedding, tokens[:, None], state[0].shape[2])
        kept: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            first = 2 * number
            found, own = layer.step(
                found, (state[first], state[first + 1]), (known[first], known[first + 1]), mask
            )
            kept += own
        return self._logits(found)[:, 0], tuple(kept)

    def attention(self, x: Tensor, lengths: Tensor, y: Tensor) -> Tensor:
        """Return the weights `(N, T, S)` of the source tokens for each target token.

        Weights are averaged over the heads of the last layer.
        """
        states, mask = self._encoded(x, lengths)
        found = self._embedded(self.target_embedding, shifted(y), 0)
        *before, last = self.layers
        for layer in before:
            found = layer(found, states, mask)
        return last.weights(found, states, mask)

    @property
    def layers(self) -> list[Any]:
        """The decoder layers."""
        return list(self.decoder)

    def _encoded(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's states, and the mask `(N, 1, 1, S)` of tokens that are not padding."""
        mask = present(lengths, x.shape[1])[:, None, None]
        states = self._embedded(self.source_embedding or self.target_embedding, x, 0)
        for layer in self.encoder:
            states = layer(states, mask)
        return self.encoder_norm(states), mask

    def _embedded(self, embedding: nn.Embedding, tokens: Tensor, first: int) -> Tensor:
        end = first + tokens.shape[1]
        if end > len(self.positions):
            self.positions = sinusoids(2 * end, self.positions.shape[1]).to(self.positions)
        return self.dropout(embedding(tokens) * self.scale + self.positions[first:end])

    def _logits(self, states: Tensor) -> Tensor:
        return functional.linear(self.decoder_norm(states), self.target_embedding.weight)


def shifted(y: Tensor) -> Tensor:
    """Return the inputs of the decoder for targets `(N, T)`: the start token, and all tokens except the last."""
    return functional.pad(y[:, :-1], (1, 0), value=START)


class _Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `(N, heads, S, hidden / heads)` of states `(N, S, hidden)`."""
        key, value = self.key_value(states).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(
        self,
        states: Tensor,
        known: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        query = self._split(self.query(states))
        found = functional.scaled_dot_product_attention(query, *known, attn_mask=mask, is_causal=is_causal)
        return self.out(found.transpose(1, 2).flatten(2))

    def weights(self, states: Tensor, known: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        query, key = self._split(self.query(states)), known[0]
        scores = query @ key.transpose(2, 3) / math.sqrt(key.shape[3])
        return scores.masked_fill(~mask, -math.inf).softmax(dim=-1).mean(dim=1)

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(2, (self.heads, -1)).transpose(1, 2)


class _FeedForward(nn.Module):
    def __init__(self, hidden: int, units: int) -> None:
        super().__init__()
        self.first = nn.Linear(hidden, units)
        self.second = nn.Linear(units, hidden)

    def forward(self, states: Tensor) -> Tensor:
        return self.second(functional.relu(self.first(states)))


class _EncoderLayer(nn.Module):
    def __init__(self, hidden: int, heads: int, units: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.self_attention = _Attention(hidden, heads)
        self.feed_norm = nn.LayerNorm(hidden)
        self.feed = _FeedForward(hidden, units)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(states)
        known = self.self_attention.keys_and_values(normed)
        states = states + self.dropout(self.self_attention(normed, known, mask))
        return states + self.dropout(self.feed(self.feed_norm(states)))


class _DecoderLayer(nn.Module):
    def __init__(self, hidden: int, heads: int, units: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.self_attention = _Attention(hidden, heads)
        self.cross_norm = nn.LayerNorm(hidden)
        self.cross = _Attention(hidden, heads)
        self.feed_norm = nn.LayerNorm(hidden)
        self.feed = _FeedForward(hidden, units)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        # Padding is at the end, so that the causal mask hides it from earlier tokens.
        states = self._own(states)
        return self._rest(states, self.cross.keys_and_values(source), mask)

    def step(
        self, states: Tensor, cache: tuple[Tensor, Tensor], known: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the state of the next token, and keys and values including those of this token."""
        normed = self.norm(states)
        own = self.self_attention.keys_and_values(normed)
        cache = (torch.cat([cache[0], own[0]], dim=2), torch.cat([cache[1], own[1]], dim=2))
        states = states + self.self_attention(normed, cache)
        return self._rest(states, known, mask), cache

    def weights(self, states: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        normed = self.cross_norm(self._own(states))
        return self.cross.weights(normed, self.cross.keys_and_values(source), mask)

    def _own(self, states: Tensor) -> Tensor:
        normed = self.norm(states)
        known = self.self_attention.keys_and_values(normed)
        return states + self.dropout(self.self_attention(normed, known, is_causal=True))

    def _rest(self, states: Tensor, known: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        states = states + self.dropout(self.cross(self.cross_norm(states), known, mask))
        return states + self.dropout(self.feed(self.feed_norm(states)))
