"""Pretrained encoder-decoder models of transformers: weights, teacher forcing, and decoding token by token."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.errors import ConfigError
from dlcli.models.sequence_input import present
from dlcli.preprocessing.subwords import END, PADDING, START

State = tuple[Tensor, ...]

# Tokens of the example by which the output layer is compared with the model.
_EXAMPLE = 3


def output_layer(model: Any, name: str) -> nn.Linear:
    """Return the output layer of a model of transformers as one linear layer over its decoder's states.

    T5 divides the states by the root of their number, and BART adds a constant, which both become part of the layer.

    Raises:
        ConfigError: the model computes its logits in another way.
    """
    found = model.get_output_embeddings()
    if not isinstance(found, nn.Linear) or not _is_seq2seq(model):
        raise no_seq2seq(name, type(model).__name__)
    layer = nn.Linear(found.in_features, found.out_features)
    scale = found.in_features**-0.5 if getattr(model.config, "scale_decoder_outputs", False) else 1.0
    bias = getattr(model, "final_logits_bias", found.bias)
    with torch.no_grad():
        layer.weight.copy_(found.weight * scale)
        layer.bias.zero_()
        if bias is not None:
            layer.bias.copy_(bias.flatten())
        tokens = torch.arange(_EXAMPLE)[None]
        training = model.training
        true = model.eval()(input_ids=tokens, decoder_input_ids=tokens, output_hidden_states=True)
        model.train(training)
        if not torch.allclose(layer(true.decoder_hidden_states[-1]), true.logits, rtol=1e-3, atol=1e-3):
            raise no_seq2seq(
                name, f"{type(model).__name__}, whose logits are no linear function of its states"
            )
    return layer


def no_seq2seq(name: str, has: str) -> ConfigError:
    """Return the error for a model that generates no texts from texts."""
    return ConfigError(
        f"{name} is not an encoder-decoder model with a linear output layer ({has})",
        "model.name",
        "Choose a model such as T5, BART or Marian.",
    )


def is_encoder_decoder(backbone: Any) -> bool:
    """Return whether a model of transformers has an encoder and a decoder."""
    return bool(getattr(backbone.config, "is_encoder_decoder", False)) and hasattr(backbone, "decoder")


def _is_seq2seq(model: Any) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False)) and model.get_decoder() is not model


def reordered(layer: nn.Linear, order: Tensor) -> nn.Linear:
    """Return an output layer whose outputs are the tokens of `token_order`.

    If the start is the token of padding or of the end, the probability of padding is divided among padding and start,
    so that those of all other tokens are the model's.
    """
    rows = order.clone()
    shared = order[START] in (order[PADDING], order[END])
    if shared:
        rows[START] = order[PADDING]
    found = nn.Linear(layer.in_features, len(rows))
    with torch.no_grad():
        found.weight.copy_(layer.weight[rows])
        found.bias.copy_(layer.bias[rows])
        if shared:
            found.bias[[PADDING, START]] -= math.log(2)
    return found


def blocks_of(backbone: Any) -> list[str]:
    """Return the names of the lists of the encoder's and the decoder's blocks."""
    lists = [name for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    return [next(name for name in lists if name.startswith(f"{side}.")) for side in ("encoder", "decoder")]


def taught_states(backbone: Any, order: Tensor, x: Tensor, lengths: Tensor, y: Tensor | None) -> Tensor:
    """Return the decoder's states `(N, T, F)` given the tokens before each of `y`; without `y`, the encoder's."""
    states, mask = _encoded(backbone, order, x, lengths)
    if y is None:
        return states
    given = order[functional.pad(y[:, :-1], (1, 0), value=START)]
    found: Tensor = backbone.decoder(
        input_ids=given, encoder_hidden_states=states, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state
    return found


def encode(backbone: Any, order: Tensor, x: Tensor, lengths: Tensor) -> tuple[State, State]:
    """Return the memory and the first state, see `Decodes`: mask, the encoder's states, and the keys and values of
    each layer."""
    states, mask = _encoded(backbone, order, x, lengths)
    found = backbone.decoder(
        input_ids=order[
            x.new_full((x.shape[0], 1), START)
        ],  # len(x) would be a constant in exported programs
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        use_cache=True,
    ).past_key_values
    own, cross = found.self_attention_cache, found.cross_attention_cache
    empty = tuple(part[:, :, :0] for layer in own.layers for part in (layer.keys, layer.values))
    return (mask, states, *(part for layer in cross.layers for part in (layer.keys, layer.values))), empty


def decode(backbone: Any, order: Tensor, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, State]:
    """Return the decoder's state `(N, F)` after `tokens` `(N,)`, and the next state, see `Decodes`."""
    from transformers import DynamicCache, EncoderDecoderCache

    mask, states, *cross = memory
    known = EncoderDecoderCache(*(DynamicCache(_pairs(parts)) for parts in (state, cross)))
    found = backbone.decoder(
        input_ids=order[tokens][:, None],
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        past_key_values=known,
        use_cache=True,
    )
    own = found.past_key_values.self_attention_cache
    return found.last_hidden_state[:, 0], tuple(
        part for layer in own.layers for part in (layer.keys, layer.values)
    )


def _encoded(backbone: Any, order: Tensor, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    mask = present(lengths, x.shape[1]).long()
    return backbone.encoder(input_ids=order[x], attention_mask=mask).last_hidden_state, mask


def _pairs(parts: Any) -> list[tuple[Tensor, Tensor]]:
    """Return keys and values of each layer."""
    return list(zip(parts[::2], parts[1::2], strict=True))
