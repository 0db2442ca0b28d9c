"""Pretrained text models of transformers with a new head (Wolf et al., Transformers, 2020)."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.models import layers as shared
from dlcli.models.hub import plain_description, pretrained_folder, transformers, without_bars
from dlcli.models.layers import Activation, Share
from dlcli.models.positions import most_tokens


class PretrainedText(nn.Module):
    """A transformers backbone, pooling of its last states, and a new head.

    Args:
        num_outputs: logits or values per text.
        name: name of the model on the hub, or a folder.
        backbone_config: the backbone's config.json, read by the preprocessing together with the tokenizer.
        pretrained: load the pretrained weights; if false, initialize at random.
        pooling: pooling of the tokens' states to one vector.
        hidden: number of units of a dense layer before the output; 0 omits it.
        activation: activation function of the dense layer.
        dropout: dropout rate before the output.
        restored: skip loading the weights, because they will be loaded from a run.

    Raises:
        ConfigError: the texts were tokenized by another tokenizer, or some weights are missing.
    """

    accepts: ClassVar = {"tokens"}
    search_space: ClassVar = {
        "hidden": "0,128",
        "dropout": "interval(0,0.5)",
    }
    # The preprocessing that `preprocessing=auto` chooses, which uses the model's tokenizer.
    preprocessing: ClassVar = "pretrained_text"
    requires: ClassVar = ("transformers",)
    # Settings with which the head is linear, so that it can be solved on the features of a frozen backbone.
    linear_head: ClassVar = {"hidden": 0, "dropout": 0}

    def __init__(
        self,
        num_outputs: int,
        name: Annotated[str, MinLen(1)],
        backbone_config: str | None = None,
        pretrained: bool = True,
        pooling: Literal["mean", "first", "last"] = "mean",
        hidden: Annotated[int, Ge(0)] = 0,
        activation: Activation = "gelu",
        dropout: Share = 0.1,
        restored: bool = False,
    ) -> None:
        super().__init__()
        if backbone_config is None:
            raise ConfigError(
                "the texts are not tokenized by the model's own tokenizer",
                "preprocessing",
                "Choose preprocessing=pretrained_text.",
            )
        self._backbone_config = backbone_config
        description = plain_description(json.loads(backbone_config))
        library = transformers()
        config = library.AutoConfig.for_model(description.pop("model_type"), **description)
        if pretrained and not restored and torch.get_default_device().type != "meta":
            self.backbone = _pretrained(name, config)
        else:
            self.backbone = library.AutoModel.from_config(config, trust_remote_code=False)
        if getattr(self.backbone, "pooler", None) is not None:
            self.backbone.pooler = None  # an unused layer on the first token's state
        self.longest_text = most_tokens(config)
        self.pooling = pooling
        self._blocks = int(config.num_hidden_layers)
        width = int(config.hidden_size)
        dense = [nn.Linear(width, hidden), shared.activation(activation)] if hidden else []
        self.head = nn.Sequential(*dense, *shared.dropout(dropout), nn.Linear(hidden or width, num_outputs))

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the backbone's weights."""
        return {"pooling": self.pooling, "config": self._backbone_config}

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map tokens `(N, T)` with `lengths` `(N,)` to one vector per row, `(N, F)`."""
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        mask = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
        states = self.backbone(input_ids=x, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "first":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(x.shape[0], device=x.device), lengths - 1]
        weights = mask.unsqueeze(2).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def forward(
        self, x: Tensor | None = None, lengths: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """Map tokens, or their features, to `(N, num_outputs)`."""
        if features is None:
            assert x is not None
            features = self.features(x, lengths)
        return self.head(features)

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the backbone's parameters: embeddings, then each block; the rest joins the last block."""
        blocks = next(
            name
            for name, module in self.backbone.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == self._blocks
        )
        layers: list[list[str]] = [[] for _ in range(self._blocks + 1)]
        place = 0
        for name, _ in self.backbone.named_parameters():
            if name.startswith(f"{blocks}."):
                place = int(name.removeprefix(f"{blocks}.").partition(".")[0]) + 1
            layers[place].append(name)
        return layers


def _pretrained(name: str, config: Any) -> Any:
    """Return the transformers model with its weights.

    Raises:
        ConfigError: some weights are missing, which would be initialized at random, frozen or not.
    """
    place = pretrained_folder(name, "model.name")
    with without_bars():
        model, found = transformers().AutoModel.from_pretrained(
            place, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ConfigError(
            f"{name} lacks {len(missing)} of its weights: {', '.join(missing[:3])}",
            "model.name",
            "Download it again, or initialize at random: model.pretrained=false.",
        )
    return model
