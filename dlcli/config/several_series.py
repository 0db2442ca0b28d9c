"""Defaults of a forecast of several series, which are too different for the linear forecast of a single one.

They follow from `dataset.id` alone, so that they apply before any row is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.group_choices import Picks

# Group or key to its option or value. On the M3 and tourism series, the network has 0.96 and 0.95 of the validation
# MASE of linear_forecast (docs/time-series.md).
_DEFAULTS = {"model": "mlp", "task/loss": "mae", "dataset.batch_size": "auto"}


def of_several_series(
    config: Mapping[str, Any], choices: Mapping[str, str], settings: Sequence[Picks]
) -> list[str]:
    """Return the overrides by which several series differ from one; none if the user or an experiment chooses a model.

    Args:
        config: the merged configuration.
        choices: group to chosen option.
        settings: the settings of dlcli.yaml files and of the command line.
    """
    set_by_user = {key for picks in settings for key in (*picks.options, *(one.key for one in picks.values))}
    is_other_task = choices.get("task") not in ("auto", "forecast")
    of_series = choices.get("dataset") == "series" and config.get("dataset", {}).get("id") is not None
    if not of_series or is_other_task or choices.get("experiment") is not None or "model" in set_by_user:
        return []
    return [f"{key}={value}" for key, value in _DEFAULTS.items() if key not in set_by_user]


def told_of_several_series(overrides: Sequence[str], asked: Sequence[str]) -> str:
    """Return what was added to the user's overrides for several series; "" if nothing was.

    Args:
        overrides: the overrides that were composed.
        asked: the user's.
    """
    added = [f"{key}={value}" for key, value in _DEFAULTS.items()]
    chosen = [text for text in added if text in overrides and text not in asked]
    return ", ".join(chosen) if added[0] in chosen else ""
