"""The metric that is monitored by default, which a model may define."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.config.compose import Composed
from dlcli.config.folders import shipped_folder
from dlcli.config.hydra_compose import merged_files
from dlcli.config.metric_words import DEFAULT
from dlcli.config.yaml_file import lines
from dlcli.errors import ConfigError

# The monitored metric of other models.
_LOSS = "val/loss"


def with_own_monitor(config: dict[str, Any], composed: Composed) -> dict[str, Any]:
    """Return the configuration with the metric that a model defines in place of the loss, which is unsuitable for it.

    A metric that is set by the user, or in a file other than the shipped config.yaml, is kept, as is the loss of other
    tasks.

    Args:
        config: the configuration.
        composed: its composition.
    """
    with suppress(ConfigError):  # a model that cannot be found is reported as that
        model = locate(config["model"].get(TARGET, ""))
        own = getattr(model, "monitor", None)
        if (
            own is not None
            and config["monitor"] == _LOSS
            and _is_for(model, config)
            and _is_computed(own, config)
            and not _is_said(composed)
        ):
            said = {setting.key for setting in composed.settings}
            callbacks = {
                name: {**node, "monitor": own}
                if node and node.get("monitor") == _LOSS and f"callbacks.{name}.monitor" not in said
                else node
                for name, node in config["callbacks"].items()
            }
            return {**config, "monitor": own, "callbacks": callbacks}
    return config


def _is_for(model: Any, config: dict[str, Any]) -> bool:
    """Return whether a model is for the task; the data may not have decided it yet."""
    target = config["task"].get(TARGET)
    return target is None or getattr(locate(target), "kind", None) in getattr(model, "targets", ())


def _is_computed(metric: str, config: dict[str, Any]) -> bool:
    """Return whether a metric of the task is among those that the user has chosen."""
    chosen = config["task"].get("metrics") or (DEFAULT,)
    return DEFAULT in chosen or metric.partition("/")[2] in chosen


def _is_said(composed: Composed) -> bool:
    """Return whether the monitored metric is set anywhere except in the shipped default."""
    default = shipped_folder() / "config.yaml"
    return any(setting.key == "monitor" for setting in composed.settings) or any(
        "monitor" in lines(one.file)
        for one in merged_files(composed.composition)
        if one.file is not None and not one.package and one.file != default
    )
