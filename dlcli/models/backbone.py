"""What fine-tuning and the feature cache ask of a model: a backbone that knows its layers, and a head."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class HasBackbone(Protocol):
    """A model made of a backbone, which was trained before, and a head, which is new.

    `forward` takes `x`, or as `features` what the backbone made of it.
    """

    backbone: nn.Module
    head: nn.Module

    def feature_settings(self) -> dict[str, Any]:
        """Whatever decides about the features beside the backbone's weights, in plain types."""

    def features(self, x: Tensor) -> Tensor:
        """What the backbone makes of a batch, `(N, F)`."""

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Names of the backbone's parameters by layer, from the input to the output; coarse: by whole stages."""
