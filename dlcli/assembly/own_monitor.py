"""The metric that is monitored by default, which a model may name."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.errors import ConfigError

# The monitored metric of other models.
_LOSS = "val/loss"


def with_own_monitor(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the metric that a model names in place of the loss, which does not judge it."""
    with suppress(ConfigError):  # a model that cannot be found is reported as that
        own = getattr(locate(config["model"].get(TARGET, "")), "monitor", None)
        if own is not None and config["monitor"] == _LOSS:
            callbacks = {
                name: {**node, "monitor": own} if node and node.get("monitor") == _LOSS else node
                for name, node in config["callbacks"].items()
            }
            return {**config, "monitor": own, "callbacks": callbacks}
    return config
