"""Parameter groups: what weight decay acts on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor


def parameter_groups(
    parameters: Iterable[Tensor], weight_decay: float, on: Literal["weights", "all"]
) -> list[Tensor] | list[dict[str, Any]]:
    """The parameters as an optimizer takes them: one list, or with `weights` two groups, the second not decayed.

    A bias, and the scale and shift of a normalisation, have one dimension and few numbers: decaying them takes
    freedom from the model without keeping it simple (Goyal et al., 2017, section 5.3). What has more dimensions are
    weights.
    """
    trained: list[Tensor] = list(parameters)
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    if on == "all" or weight_decay == 0 or len(weights) in (0, len(trained)):
        return trained
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return groups
