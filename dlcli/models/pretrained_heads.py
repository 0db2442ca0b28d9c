"""Pretrained heads of transformers models, for question answering and token classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.models.hub import pretrained_folder, transformers, without_bars
from dlcli.models.pretrained_decoder import no_seq2seq, output_layer
from dlcli.models.pretrained_masked import check_masked, masked_parts

# Unit of the outputs to the suffix of transformers classes with such a head, and its description.
_HEADS = {
    "word": ("ForTokenClassification", "tags of words"),
    "token": ("ForQuestionAnswering", "question answering"),
}

# Suffixes of transformers classes of causal language models.
_CAUSAL = ("LMHeadModel", "ForCausalLM")

# The same of encoder-decoder models with an output layer.
_SEQ2SEQ = ("ForConditionalGeneration", "MTModel")


class LoadedBackbone:
    """A pretrained backbone, and the output layer of its pretrained head if that matches.

    Attributes:
        backbone: the transformers model without a head.
        output: linear layer of the head; None if the weights contain no matching one.
        transform: layers between the states and the output layer; None without any.
        told: sentence on the initialization of the head; empty for outputs of whole texts, whose head is always new.
    """

    def __init__(
        self,
        backbone: Any,
        output: nn.Linear | None = None,
        told: str = "",
        transform: nn.Module | None = None,
    ) -> None:
        self.backbone = backbone
        self.output = output
        self.transform = transform
        self.told = told


def load_backbone(
    name: str,
    config: Any,
    outputs_of: Literal["row", "word", "token", "next_token", "masked_token", "text"],
    names: Sequence[str],
) -> LoadedBackbone:
    """Return the backbone with its pretrained weights, and the output layer of its pretrained head.

    Args:
        name: name of the model on the hub, or a folder.
        config: its configuration.
        outputs_of: unit of the outputs.
        names: names of the outputs of a word, which must equal the head's labels.

    Raises:
        ConfigError: some weights are missing, which would otherwise be initialized at random even if frozen.
    """
    if outputs_of == "row":
        return LoadedBackbone(_from_pretrained("AutoModel", name, config))
    if outputs_of == "next_token":
        return _load_causal(name, config)
    if outputs_of == "masked_token":
        return _load_masked(name, config)
    if outputs_of == "text":
        return _load_seq2seq(name, config)
    suffix, use = _HEADS[outputs_of]
    kinds = [str(kind) for kind in config.architectures or ()]
    if not any(kind.endswith(suffix) for kind in kinds):
        has = f"it holds a {kinds[0]}" if kinds else "its config.json names no architecture"
        told = f"the head for {use} is new, with random weights: {name} has no such head ({has})"
        return LoadedBackbone(_from_pretrained("AutoModel", name, config), None, told)
    model = _from_pretrained(f"AutoModel{suffix}", name, config)
    backbone = model.base_model
    inside = set(backbone.modules())
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer not in inside]
    if len(layers) != 1:
        return LoadedBackbone(
            backbone, None, f"the head for {use} is new: that of {name} is not a single layer"
        )
    output = layers[0]
    if outputs_of == "word":
        labels = [str(config.id2label[code]) for code in range(len(config.id2label))]
        if sorted(labels) != sorted(names):
            told = f"the head for {use} is new: that of {name} has other labels, {', '.join(labels[:5])}, ..."
            return LoadedBackbone(backbone, None, told)
        order = torch.tensor([labels.index(one) for one in names])
        with torch.no_grad():
            output.weight.copy_(output.weight[order].clone())
            output.bias.copy_(output.bias[order].clone())
    return LoadedBackbone(backbone, output, f"the head for {use} is that of {name}, which is trained further")


def _load_causal(name: str, config: Any) -> LoadedBackbone:
    """Return the backbone and the output layer of a causal language model.

    Raises:
        ConfigError: the model is none, or its output layer has another width.
    """
    kinds = [str(kind) for kind in config.architectures or ()]
    model = _from_pretrained("AutoModelForCausalLM", name, config) if _is_causal(kinds) else None
    output = None if model is None else model.get_output_embeddings()
    if model is None or not isinstance(output, nn.Linear) or output.in_features != config.hidden_size:
        has = kinds[0] if kinds else "no architecture in its config.json"
        raise ConfigError(
            f"{name} is not a causal language model with a linear output layer ({has})",
            "model.name",
            "Choose a model such as GPT-2.",
        )
    tied = output.weight is model.get_input_embeddings().weight
    how = (
        "a copy of the token embedding, which is trained apart from it"
        if tied
        else "which is trained further"
    )
    return LoadedBackbone(model.base_model, output, f"the output layer is that of {name}, {how}")


def new_backbone(name: str, config: Any, outputs_of: str) -> LoadedBackbone:
    """Return a backbone with random weights, of a masked language model with the parts of its head."""
    if outputs_of == "masked_token":
        backbone, transform, output = masked_parts(name, config)
        return LoadedBackbone(backbone, output, transform=transform)
    return LoadedBackbone(transformers().AutoModel.from_config(config, trust_remote_code=False))


def _load_masked(name: str, config: Any) -> LoadedBackbone:
    """Return the backbone and the head of a masked language model; weights that have no such head get a new one.

    Raises:
        ConfigError: transformers has no such model of this architecture.
    """
    check_masked(name, config)
    model, new = _loaded("AutoModelForMaskedLM", name, config, new_head=True)
    backbone, transform, output = masked_parts(name, config, model)
    kinds = [str(kind) for kind in config.architectures or ()]
    told = (
        f"the head for masked tokens is new: {name} has no such head ({', '.join(kinds) or 'unnamed'}); its output "
        "layer begins as a copy of the token embedding"
        if new
        else f"the head for masked tokens is that of {name}, which is trained further"
    )
    return LoadedBackbone(backbone, output, told, transform)


def _load_seq2seq(name: str, config: Any) -> LoadedBackbone:
    """Return the encoder and decoder, and the output layer, of a model that generates texts from texts.

    Raises:
        ConfigError: the model is none.
    """
    kinds = [str(kind) for kind in config.architectures or ()]
    if not getattr(config, "is_encoder_decoder", False):
        raise no_seq2seq(name, kinds[0] if kinds else "no architecture in its config.json")
    if not any(kind.endswith(_SEQ2SEQ) for kind in kinds):
        told = (
            f"the output layer is new, with random weights: {name} has none ({', '.join(kinds) or 'unnamed'})"
        )
        return LoadedBackbone(_from_pretrained("AutoModel", name, config), None, told)
    model = _from_pretrained("AutoModelForSeq2SeqLM", name, config)
    layer, backbone = output_layer(model, name), model.base_model
    if backbone is model:  # T5's parts belong to the model with the output layer itself
        backbone = transformers().AutoModel.from_config(config, trust_remote_code=False)
        own = backbone.state_dict()
        backbone.load_state_dict({key: value for key, value in model.state_dict().items() if key in own})
    return LoadedBackbone(backbone, layer, f"the output layer is that of {name}, which is trained further")


def _is_causal(kinds: Sequence[str]) -> bool:
    """Return whether tokens see only those before them; in BERT's classes they do only with `is_decoder`."""
    return any(kind.endswith(_CAUSAL) and "Bert" not in kind and "BERT" not in kind for kind in kinds)


def _from_pretrained(kind: str, name: str, config: Any) -> Any:
    return _loaded(kind, name, config)[0]


def _loaded(kind: str, name: str, config: Any, *, new_head: bool = False) -> tuple[Any, bool]:
    """Return a model with its weights, and whether those of its head are missing, which `new_head` allows.

    Raises:
        ConfigError: other weights are missing.
    """
    place = pretrained_folder(name, "model.name")
    with without_bars():
        model, found = getattr(transformers(), kind).from_pretrained(
            place, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    missing = sorted(key for key in found["missing_keys"] if "pooler." not in key)
    head = [key for key in missing if new_head and not key.startswith(f"{model.base_model_prefix}.")]
    missing = [key for key in missing if key not in head]
    if missing:
        raise ConfigError(
            f"{name} lacks {len(missing)} of its weights: {', '.join(missing[:3])}",
            "model.name",
            "Download it again, or initialize at random: model.pretrained=false.",
        )
    return model, bool(head)
