"""The loss of a run as a metric of its recorded predictions, so that the losses of hold-outs can be tested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.tracking.ledger import Ledger

# Losses that are a metric of a single target in another unit: that of the standardized target.
_SCALED = {"dlcli.tasks.losses.MSE": "mse", "dlcli.tasks.losses.MAE": "mae"}


def recorded_loss(run_dir: Path, config: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the metric that equals the loss up to a factor, and the factor; None if there is no such metric.

    A cross-entropy without weights is `log_loss`. The factor of `mse` and `mae` holds for a single target.
    """
    metrics = Ledger.load(run_dir).metrics
    loss, log_loss = (metrics.get(f"test/{name}", math.nan) for name in ("loss", "log_loss"))
    if math.isclose(loss, log_loss, rel_tol=1e-4, abs_tol=1e-7):
        return "log_loss", 1.0
    name = _SCALED.get(_loss(config).get("_target_", ""), "")
    value = metrics.get(f"test/{name}", math.nan)
    return (name, loss / value) if value > 0 and math.isfinite(loss) else None


def losses_differ(metric: str, configs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence if the runs have different losses; None if they are equal, or another metric is compared."""
    losses = [_loss(config) for config in configs]
    if metric != "loss" or all(loss == losses[0] for loss in losses):
        return None
    named = " and ".join(dict.fromkeys(_words(loss) for loss in losses))
    return f"The runs have different losses ({named}), so there is no test of them."


def _loss(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of the loss; empty for a task without one."""
    return dict((config.get("task") or {}).get("loss") or {})


def _words(loss: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{key}={value}" for key, value in loss.items() if key != "_target_")
    name = str(loss.get("_target_", "none")).rpartition(".")[2]
    return f"{name}({keys})" if keys else name
