"""The options of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt

from dlcli.config.timespan import seconds_of

USUAL_TRIALS = 20


@dataclass(frozen=True)
class Sweep:
    """The `sweep` section.

    Args:
        trials: number of trials; None means all points of a grid, otherwise 20.
        timeout: no trial starts after this time: seconds, or text such as 30m, 2h, 1h30m.
        trial_timeout: a trial (with all of its folds) that takes longer is ended and fails; same format.
        max_failures: stop the sweep after this number of failed trials.
        refit: train the winner on all rows but the final test rows, and test it once.
        space: key to the values that are tried, in Hydra's grammar.
        objectives: `METRIC:min` or `METRIC:max`; if empty, `monitor` is the objective.
        sampler: proposes the next point.
        pruner: ends unpromising trials early.
    """

    trials: Annotated[int, Ge(1)] | None = None
    timeout: Annotated[float, Gt(0)] | str | None = None
    trial_timeout: Annotated[float, Gt(0)] | str | None = None
    max_failures: Annotated[int, Ge(1)] | None = None
    refit: bool = True
    space: dict[str, Any] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    sampler: Any = None
    pruner: Any = None

    @property
    def seconds(self) -> float | None:
        """The timeout in seconds, or None.

        Raises:
            ConfigError: it is not a valid duration.
        """
        return seconds_of(self.timeout, "sweep.timeout")

    @property
    def trial_seconds(self) -> float | None:
        """The timeout of a trial in seconds, or None.

        Raises:
            ConfigError: it is not a valid duration.
        """
        return seconds_of(self.trial_timeout, "sweep.trial_timeout")

    def total(self, points: int | None, *, is_grid: bool) -> int:
        """Return the number of trials in a space with `points` points (None if it is infinite)."""
        wanted = self.trials or (points if is_grid and points is not None else USUAL_TRIALS)
        return wanted if points is None else min(wanted, points)
