"""The interface of models with a pretrained backbone, used by fine-tuning and the feature cache."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class HasBackbone(Protocol):
    """A model that consists of a pretrained backbone and a new head.

    `forward` takes either `x`, or `features`, the backbone's output for it.
    """

    backbone: nn.Module
    head: nn.Module

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the backbone's weights, in plain types."""

    def features(self, x: Tensor) -> Tensor:
        """Return the backbone's output for a batch, `(N, F)`."""

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the backbone's parameters by layer, from input to output; `coarse`: by stage."""
