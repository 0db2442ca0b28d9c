"""Recurrent networks: plain (Elman, 1990), LSTM (Hochreiter and Schmidhuber, 1997), GRU (Cho et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.config.target_kinds import ONE_A_ROW
from dlcli.errors import ConfigError
from dlcli.models import layers as shared
from dlcli.models.layers import Depth, Initialization, Pooling, SequencePooling, Share, Size, initialize
from dlcli.models.recurrent_rows import through_rows
from dlcli.models.sequence_input import AsSequence

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """Recurrent layers, pooling of their states, and a linear output; images are read as sequences of pixel rows.

    For outputs of words, of steps or of the next token, the states are not pooled: each step has an output.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or the steps of tokens `(T,)`.
        num_outputs: logits or values per sequence.
        vocab_size: number of tokens; None if rows are not tokens.
        embedding: size of the token embeddings.
        cell: kind of layer: `rnn` (tanh), `lstm` or `gru`.
        hidden: number of units of each layer and direction.
        layers: number of stacked layers.
        bidirectional: also read the sequence backwards; the states of both directions are concatenated.
        pooling: `last` takes the final state (of each direction); `mean`, `max` and `attention` pool the states of all
            steps.
        dropout: dropout rate between the layers and before the output; for outputs of words also of the embeddings.
        initialization: initialization of the weights.
        outputs_of: unit of the outputs: each `row`, each `word` or `step` of a sequence, or the `next_token` after each
            step, with a logit for each of `vocab_size` tokens.

    Raises:
        ConfigError: the outputs predict the next token, but the layers are bidirectional.
    """

    accepts: ClassVar = {"sequence", "image", "tokens", "audio", "words"}
    targets: ClassVar = ONE_A_ROW | {"tag", "language_model", "ctc"}
    longest_text: ClassVar = 2048
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "layers": "1,2",
        "dropout": "interval(0,0.5)",
        "bidirectional": "false,true",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        embedding: Size = 64,
        cell: Literal["rnn", "lstm", "gru"] = "lstm",
        hidden: Size = 128,
        layers: Depth = 1,
        bidirectional: bool = False,
        pooling: Pooling = "last",
        dropout: Share = 0.0,
        initialization: Initialization = "default",
        outputs_of: Literal["row", "word", "step", "next_token"] = "row",
    ) -> None:
        super().__init__()
        if outputs_of == "next_token" and bidirectional:
            raise ConfigError(
                "a language model that reads backwards would receive the token that it predicts",
                "model.bidirectional",
                "Use model.bidirectional=false.",
            )
        self.sequence = AsSequence(input_shape, vocab_size, embedding, padded=outputs_of != "next_token")
        self.layers = _CELLS[cell](
            self.sequence.features,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            # torch warns of dropout with a single layer, where it has no effect.
            dropout=dropout if layers > 1 else 0.0,
            batch_first=True,
        )
        states = 2 * hidden if bidirectional else hidden
        # The final state of the backward direction belongs to the first step.
        both_ends = bidirectional and pooling == "last"
        self.pool = None if both_ends or outputs_of != "row" else SequencePooling(pooling, states)
        self.drop = nn.Dropout(dropout) if outputs_of == "word" and dropout else None
        self.outputs_of = outputs_of
        outputs = vocab_size if outputs_of == "next_token" and vocab_size else num_outputs
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(states, outputs))
        initialize(self, initialization)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `(N, T, F)`, `(N, C, H, W)` or tokens `(N, T)`, with `lengths` `(N,)`, to `(N, num_outputs)`.

        Outputs of words and steps are `(N, T, num_outputs)`, those of the next token `(N, T, vocab_size)`.
        """
        sequence = self.sequence(x)
        if self.drop is not None:
            sequence = self.drop(sequence)
        if lengths is not None and self.layers.bidirectional:
            states, last = through_rows(self.layers, sequence, lengths)
        else:
            states, last = self.layers(sequence)  # padding follows a row's steps and does not affect them
        if self.outputs_of != "row":
            return self.head(states)
        if self.pool is not None:
            return self.head(self.pool(states, lengths))
        # An LSTM also returns its cell states.
        last = last[0] if isinstance(last, tuple) else last
        return self.head(torch.cat([last[-2], last[-1]], dim=1))

    def continued(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the outputs `(N, vocab_size)` after the last of the new tokens `(N, T)`, and the new state.

        `state` is the state after the previous tokens; None begins a text.
        """
        states, state = self.layers(self.sequence(x), state)
        return self.head(states[:, -1]), state
