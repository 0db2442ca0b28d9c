"""Recurrent encoder and decoder for sequence-to-sequence learning (Sutskever et al., 2014; Luong et al., 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.layers import Depth, Share, Size
from dlcli.models.recurrent_rows import through_rows
from dlcli.models.seq2seq_transformer import shifted
from dlcli.models.sequence_input import present

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class Seq2SeqRNN(nn.Module):
    """A bidirectional recurrent encoder, and a recurrent decoder that starts from its final state.

    Without attention, the decoder receives the source only through this state. With attention, each of the decoder's
    states is combined with a weighted mean of the encoder's states (global attention, Luong et al., section 3.1). The
    output layer has the weights of the target embedding.

    Args:
        vocab_size: number of source tokens.
        num_outputs: number of target tokens.
        shares_vocabulary: whether source and target share the vocabulary and its embedding.
        cell: kind of layer.
        attention: `general`: attention with a learned bilinear form; `none`: no attention.
        embedding: size of the token embeddings.
        hidden: number of units of the decoder's layers, and of the encoder's layers (both directions together).
        layers: number of layers of encoder and decoder.
        dropout: dropout rate of embeddings, between layers, and before the output.

    Raises:
        ValueError: `hidden` is odd.
    """

    accepts: ClassVar = {"tokens"}
    targets: ClassVar = {"seq2seq"}
    search_space: ClassVar = {
        "cell": "lstm,gru",
        "hidden": "128,256,512",
        "layers": "1,2",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        vocab_size: int,
        num_outputs: int,
        shares_vocabulary: bool = False,
        cell: Literal["lstm", "gru"] = "lstm",
        attention: Literal["general", "none"] = "general",
        embedding: Size = 256,
        hidden: Size = 256,
        layers: Depth = 1,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(
                f"hidden ({hidden}) must be even: each direction of the encoder has half of the units"
            )
        self.target_embedding = nn.Embedding(num_outputs, embedding, padding_idx=0)
        # A shared embedding is stored once in the weights.
        self.source_embedding = (
            None if shares_vocabulary else nn.Embedding(vocab_size, embedding, padding_idx=0)
        )
        # torch warns of dropout with a single layer, where it has no effect.
        common: dict[str, Any] = {
            "num_layers": layers,
            "batch_first": True,
            "dropout": dropout if layers > 1 else 0.0,
        }
        self.encoder = _CELLS[cell](embedding, hidden // 2, bidirectional=True, **common)
        self.decoder = _CELLS[cell](embedding, hidden, **common)
        self.key = nn.Linear(hidden, hidden, bias=False) if attention == "general" else None
        self.combine = nn.Linear(2 * hidden if attention == "general" else hidden, embedding)
        self.dropout = nn.Dropout(dropout)
        for embed in filter(None, (self.target_embedding, self.source_embedding)):
            nn.init.normal_(embed.weight, std=embedding**-0.5)
            with torch.no_grad():
                embed.weight[0] = 0

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the logits `(N, T, num_outputs)` of each target token given the ones before it (teacher forcing).

        Args:
            x: source tokens `(N, S)`, padded with 0.
            lengths: number of tokens of each source `(N,)`.
            y: target tokens `(N, T)`, each row with its end; without them, the encoder's states `(N, S, hidden)` are
                returned.
        """
        states, mask, last = self._encoded(x, lengths)
        if y is None:
            return states
        return self._logits(*self._decoded(shifted(y), states, self._keys(states), mask, last)[:2])

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the memory of the sources for `decode`, and the state before the first token; `(N, ...)` each."""
        states, mask, last = self._encoded(x, lengths)
        return (states, self._keys(states), mask), tuple(part.transpose(0, 1) for part in last)

    def decode(
        self, tokens: Tensor, memory: tuple[Tensor, ...], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of the next token `(N, num_outputs)` after `tokens` `(N,)`, and the new state."""
        before = tuple(part.transpose(0, 1).contiguous() for part in state)
        source, keys, mask = memory
        states, context, after, _ = self._decoded(tokens[:, None], source, keys, mask, before)
        return self._logits(states, context)[:, 0], tuple(part.transpose(0, 1) for part in after)

    def attention(self, x: Tensor, lengths: Tensor, y: Tensor) -> Tensor | None:
        """Return the weights `(N, T, S)` of the source tokens for each target token; None without attention."""
        states, mask, last = self._encoded(x, lengths)
        return self._decoded(shifted(y), states, self._keys(states), mask, last)[3]

    def _encoded(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return the encoder's states `(N, S, hidden)`, the mask of their tokens, and the decoder's first state."""
        embedded = self.dropout((self.source_embedding or self.target_embedding)(x))
        states, last = through_rows(self.encoder, embedded, lengths)
        parts = last if isinstance(last, tuple) else (last,)
        # Concatenate the final states of both directions of each layer.
        joined = tuple(torch.cat([part[0::2], part[1::2]], dim=2) for part in parts)
        return states, present(lengths, x.shape[1]), joined

    def _keys(self, states: Tensor) -> Tensor:
        return states if self.key is None else self.key(states)

    def _decoded(
        self, tokens: Tensor, states: Tensor, keys: Tensor, mask: Tensor, before: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...], Tensor | None]:
        """Return the decoder's states, the contexts, the state after the tokens, and the weights of attention."""
        embedded = self.dropout(self.target_embedding(tokens))
        found, after = self.decoder(embedded, before if len(before) > 1 else before[0])
        after = after if isinstance(after, tuple) else (after,)
        if self.key is None:
            return found, None, after, None
        scores = (found @ keys.transpose(1, 2)) / math.sqrt(keys.shape[2])
        weights = scores.masked_fill(~mask[:, None], -math.inf).softmax(dim=2)
        return found, weights @ states, after, weights

    def _logits(self, states: Tensor, context: Tensor | None) -> Tensor:
        joined = states if context is None else torch.cat([states, context], dim=2)
        return functional.linear(self.dropout(torch.tanh(self.combine(joined))), self.target_embedding.weight)
