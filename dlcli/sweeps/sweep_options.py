"""The options of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from dlcli.config.timespan import seconds_of

USUAL_TRIALS = 20
# Maximum number of trials of a search with `sweep=auto` and a timeout.
MOST_TRIALS = 200

AUTO = "auto"


@dataclass(frozen=True)
class Sweep:
    """The `sweep` section.

    Args:
        trials: number of trials; None means all points of a grid, otherwise 20, or up to 200 for a space `auto` with a
            timeout.
        timeout: no trial starts after this time: seconds, or text such as 30m, 2h, 1h30m.
        trial_timeout: a trial (with all of its folds) that takes longer is ended and fails; same format.
        max_failures: stop the sweep after this number of failed trials.
        refit: train the winner on all rows except the final test rows, and test it once.
        ensemble: number of the best trials among which the members of an ensemble are selected, which is then the final
            model in place of a refit; 0 for none.
        space: key to the values that are tried, in Hydra's grammar; `auto`: the ranges that the models declare.
        models: options of the group `model` that a space `auto` compares; `auto`: those for the kind of rows; None: the
            chosen one.
        objectives: `METRIC`, or `METRIC:min`, `METRIC:max`; if empty, `monitor` is the objective.
        sampler: proposes the next point.
        pruner: ends unpromising trials early.
    """

    trials: Annotated[int, Ge(1)] | None = None
    timeout: Annotated[float, Gt(0)] | str | None = None
    trial_timeout: Annotated[float, Gt(0)] | str | None = None
    max_failures: Annotated[int, Ge(1)] | None = None
    refit: bool = True
    ensemble: Annotated[int, Ge(0)] = 0
    space: dict[str, Any] | Literal["auto"] = field(default_factory=dict)
    models: list[str] | Literal["auto"] | None = None
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
        usual = MOST_TRIALS if self.space == AUTO and self.timeout is not None else USUAL_TRIALS
        wanted = self.trials or (points if is_grid and points is not None else usual)
        return wanted if points is None else min(wanted, points)
