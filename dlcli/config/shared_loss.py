"""The loss and the batches that all models of a search over forecasts of several series share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.compose import Composed
from dlcli.config.overrides import named_by
from dlcli.config.several_series import OF_STEPS, are_several

# Groups on whose option the loss depends by default.
CHANGES_LOSS = {"model", "optimizer"}
# What `OF_STEPS` were for all series before.
_FORMER = {"task/loss": "mse", "dataset.batch_size": "32"}


def shared_by_models(
    composed: Composed, words: Iterable[str], earlier: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the overrides that all models of a search share, so that their losses can be compared.

    Args:
        composed: the configuration of one of them.
        words: the user's overrides, or their keys.
        earlier: the recorded configuration of a search that continues, which keeps its loss.
    """
    if not are_several(composed.config, composed.choices):
        return []
    project = (*composed.composition.project_options, *composed.composition.project_values)
    given = {*project, *map(named_by, words)}
    loss = ((earlier or {}).get("task") or {}).get("loss") or {}
    is_former = earlier is not None and not str(loss.get(TARGET, "")).endswith(".MAE")
    wanted = _FORMER if is_former else OF_STEPS
    return [f"{key}={value}" for key, value in wanted.items() if key not in given]
