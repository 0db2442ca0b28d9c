"""Parameter groups: the parameters that weight decay applies to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor


def parameter_groups(
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
    lr: float,
    weight_decay: float,
    on: Literal["weights", "all"],
) -> list[Tensor] | list[dict[str, Any]]:
    """Return parameters, or parameter groups with their own learning rate and weight decay, for an optimizer.

    The learning rate of a given group is its `lr_share` of `lr`.
    """
    given: list[Any] = list(parameters)
    if not given or isinstance(given[0], Tensor):
        return _by_decay(given, weight_decay, on)
    groups: list[dict[str, Any]] = []
    for group in given:
        own = {**group, "lr": lr * group["lr_share"]}
        parts = _by_decay(group["params"], weight_decay, on)
        groups += [{**own, **part} for part in parts if isinstance(part, dict)] or [own]
    return groups


def _by_decay(
    trained: list[Tensor], weight_decay: float, on: Literal["weights", "all"]
) -> list[Tensor] | list[dict[str, Any]]:
    """Return the parameters as one list, or with `on="weights"` as two groups, the second without weight decay.

    Parameters with more than one dimension are weights. Biases, and scale and shift of a normalisation, are few:
    decaying them restricts the model without making it simpler (Goyal et al., 2017, section 5.3).
    """
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    if on == "all" or weight_decay == 0 or len(weights) in (0, len(trained)):
        return trained
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return groups
