"""The scale of a metric: whether higher or lower values are better, and its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import DlcliError
from dlcli.tracking.ledger import Ledger


@dataclass(frozen=True)
class MetricScale:
    """How the values of a metric are compared.

    Attributes:
        better: `higher` or `lower`; None if the metric has no direction, or if it is unknown.
        low: The lowest possible value; None if there is none, or if it is unknown.
        high: The highest possible value.
    """

    better: str | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_share(self) -> bool:
        """Whether the metric lies between 0 and 1, so that differences are given in percentage points."""
        return (self.low, self.high) == (0, 1)

    @property
    def sign(self) -> int:
        """-1 if lower values are better, else 1."""
        return -1 if self.better == "lower" else 1


def scale_of(metric: str, run_dirs: Sequence[Path]) -> MetricScale:
    """Return the scale of a metric according to the runs' tasks; unknown if the runs disagree."""
    found = {_scale(metric, folder) for folder in run_dirs}
    return found.pop() if len(found) == 1 else MetricScale()


def units_differ(metric: str, run_dirs: Sequence[Path]) -> str | None:
    """Return a sentence if the metric's unit, such as a naive forecast's error, differs between the runs; else None."""
    units = dict.fromkeys(_unit(metric, folder) for folder in run_dirs)
    if len(units) < 2:
        return None
    named = " and ".join(unit or "the unit of an earlier version" for unit in units)
    return (
        f"The runs have {metric} relative to {named}, so there is no test: train them again with one version."
    )


def _unit(metric: str, run_dir: Path) -> str:
    scales = Ledger.load(run_dir).result.get("scales")
    of_metric = scales.get(metric) if isinstance(scales, dict) else None
    return str(of_metric.get("unit") or "") if isinstance(of_metric, dict) else ""


def _scale(metric: str, run_dir: Path) -> MetricScale:
    scales = Ledger.load(run_dir).result.get("scales")
    if not isinstance(scales, dict):  # recorded by an earlier dlcli
        scales = _of_task(run_dir)
    of_metric = scales.get(metric)
    if not isinstance(of_metric, dict):
        return MetricScale()
    better = of_metric.get("better")
    low, high = (
        end if isinstance(end := of_metric.get(name), int | float) else None for name in ("low", "high")
    )
    return MetricScale(better if better in ("higher", "lower") else None, low, high)


def _of_task(run_dir: Path) -> dict[str, Any]:
    # Imported late, because it loads torch.
    from dlcli.inference.saved_model import load_task

    with suppress(DlcliError):  # for example a user-defined task, whose code is not loaded for a comparison
        return load_task(run_dir / "model").scales()
    return {}
