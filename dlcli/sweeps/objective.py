"""The objectives of a sweep: one metric, or several that are optimized together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.metric_section import AUTO
from dlcli.errors import ConfigError, Problem
from dlcli.formatting import number
from dlcli.inference.latency import LATENCY

# Measurements of a job, other than metrics, that can be objectives; lower is better.
COSTS = ("model/parameters", "model/multiply_adds", LATENCY)


@dataclass(frozen=True)
class Objective:
    """A metric, and whether lower (min) or higher (max) values are better.

    The mode `auto` is that of the metric; `settled_objectives` replaces it.
    """

    metric: str
    mode: str

    def is_better(self, one: float, other: float) -> bool:
        """Return whether one value is better than the other; any number is better than NaN."""
        if math.isnan(other):
            return not math.isnan(one)
        return one < other if self.mode == "min" else one > other

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost, which a training run cannot monitor, instead of a metric."""
        return self.metric in COSTS

    def text(self, value: float) -> str:
        """Return a value as text; counts are not rounded."""
        return f"{value:,.0f}" if self.is_cost and float(value).is_integer() else number(value)

    def of(self, folds: Sequence[Mapping[str, float]]) -> float:
        """Return the value of a trial: the mean over its folds, given the metrics of each fold."""
        return statistics.fmean(metrics.get(self.metric, math.nan) for metrics in folds)


def read_objectives(config: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Return the objectives of a configuration.

    Raises:
        ConfigError: an objective is not a metric of validation rows.
    """
    written = config["sweep"]["objectives"]
    if not written:
        found = [Objective(config["monitor"], config["mode"])]
        places = ["monitor"]
    else:
        found, places = [], []
        for text in written:
            metric, colon, mode = (text, ":", "min") if text in COSTS else text.partition(":")
            if not colon:
                mode = AUTO
            elif mode not in ("min", "max"):
                hint = f"Write {metric}:min or {metric}:max, or {metric} for the direction of the metric."
                raise ConfigError(f"{text!r} has no mode that exists", "sweep.objectives", hint)
            found.append(Objective(metric, mode))
            places.append("sweep.objectives")
    problems = [
        Problem(
            f"a sweep chooses by validation rows, not by {objective.metric}",
            place,
            f"Give a metric such as val/loss or val/accuracy, or one of {', '.join(COSTS)}.",
        )
        for objective, place in zip(found, places, strict=True)
        if not objective.metric.startswith("val/") and not objective.is_cost
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def settled_objectives(objectives: Sequence[str], directions: Mapping[str, str | None]) -> list[str]:
    """Return the section `sweep.objectives` with a mode for each metric that has none, which is that of the metric.

    Args:
        objectives: the section as it was written.
        directions: metric to `min` or `max`; None for a metric without a direction.

    Raises:
        ConfigError: with all metrics without a mode that have no direction.
    """
    found, problems = [], []
    for text in objectives:
        if text in COSTS or ":" in text:
            found.append(text)
        elif mode := directions.get(text.partition("/")[2]):
            found.append(f"{text}:{mode}")
        else:
            hint = f"Write {text}:min or {text}:max, whichever values are better."
            problems.append(Problem(f"{text} has no direction", "sweep.objectives", hint))
    if problems:
        raise ConfigError(problems)
    return found
