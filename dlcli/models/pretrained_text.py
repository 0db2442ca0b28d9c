"""Any of transformers' text models behind a new head (Wolf et al., Transformers, 2020)."""

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


class PretrainedText(nn.Module):
    """A backbone of transformers', one vector of its last states, and a head of our own.

    Args:
        num_outputs: logits or values per text.
        name: the model's name on the hub, or a folder.
        backbone_config: the backbone's description as JSON, which its preprocessing has read with the tokenizer.
        pretrained: whether it starts with the weights that are there, or at random.
        pooling: how the tokens' states become one vector.
        hidden: units of a dense layer in front of the output; 0 leaves it out.
        activation: the dense layer's non-linearity.
        dropout: share dropped before the output.
        restored: leaves the weights alone, for they will be loaded from a run.

    Raises:
        ConfigError: the texts were cut by another tokenizer, or the weights are not all there.
    """

    accepts: ClassVar = {"tokens"}
    # Where it is left to the data and the model: with its own tokenizer.
    preprocessing: ClassVar = "pretrained_text"
    requires: ClassVar = ("transformers",)

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
                "the texts are cut by another tokenizer than the model's own",
                "preprocessing",
                "Choose preprocessing=pretrained_text.",
            )
        self._backbone_config = backbone_config
        described = plain_description(json.loads(backbone_config))
        library = transformers()
        config = library.AutoConfig.for_model(described.pop("model_type"), **described)
        if pretrained and not restored and torch.get_default_device().type != "meta":
            self.backbone = _pretrained(name, config)
        else:
            self.backbone = library.AutoModel.from_config(config, trust_remote_code=False)
        if getattr(self.backbone, "pooler", None) is not None:
            self.backbone.pooler = None  # a layer for the first token's state that nobody reads
        self.pooling = pooling
        self._blocks = int(config.num_hidden_layers)
        width = int(config.hidden_size)
        dense = [nn.Linear(width, hidden), shared.activation(activation)] if hidden else []
        self.head = nn.Sequential(*dense, *shared.dropout(dropout), nn.Linear(hidden or width, num_outputs))

    def feature_settings(self) -> dict[str, Any]:
        """What decides about the features beside the backbone's weights."""
        return {"pooling": self.pooling, "config": self._backbone_config}

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens `(N, T)`, of which `lengths` `(N,)` count, to one vector each, `(N, F)`."""
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        there = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
        states = self.backbone(input_ids=x, attention_mask=there.long()).last_hidden_state
        if self.pooling == "first":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(x.shape[0], device=x.device), lengths - 1]
        weights = there.unsqueeze(2).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def forward(
        self, x: Tensor | None = None, lengths: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """Tokens, or their features, to `(N, num_outputs)`."""
        if features is None:
            assert x is not None
            features = self.features(x, lengths)
        return self.head(features)

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """The backbone's parameters: embeddings, each block, and what stands behind the blocks with the last one."""
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
    """transformers' model with its weights.

    Raises:
        ConfigError: some of them are missing: they would start at random, frozen or not.
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
            "Fetch it anew, or start at random: model.pretrained=false.",
        )
    return model
