"""Parameter groups: what weight decay acts on."""

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
    """What trains, as an optimizer takes it: parameters, or groups with a rate and a weight decay of their own.

    Groups that are given say with `lr_share` what share of `lr` is theirs.
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
    """The parameters as an optimizer takes them: one list, or with `weights` two groups, the second not decayed.

    A bias, and the scale and shift of a normalisation, have one dimension and few numbers: decaying them takes
    freedom from the model without keeping it simple (Goyal et al., 2017, section 5.3). What has more dimensions are
    weights.
    """
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    if on == "all" or weight_decay == 0 or len(weights) in (0, len(trained)):
        return trained
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return groups
