"""Time limits of a sweep and of its trials."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dlcli.errors import TrainingError
from dlcli.executors.time_limits import too_long

_TICK = 0.5  # seconds between two checks of the clock

# After `sweep.timeout`, running trials may continue for twice as long as the longest finished trial took, or for as
# long again as the timeout if none has finished, and at least for _LEAST seconds.
_TIMES, _LEAST = 2.0, 30.0


@dataclass
class TrialLimits:
    """The time limit of one trial, measured from its start or continuation.

    Attributes:
        seconds: `sweep.trial_timeout`.
        clock: returns the time in seconds.
    """

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Restart the clock, since the trial was waiting for a process until now."""
        self.begun = self.clock()

    def overrun(self) -> TrainingError | None:
        """Return the error of a trial that has exceeded its limit, else None."""
        if self.seconds is None or self.clock() - self.begun < self.seconds:
            return None
        return too_long("sweep.trial_timeout", self.seconds, "the trial")


@dataclass
class SweepLimits:
    """The time limits of a sweep, measured from its start or continuation.

    Attributes:
        seconds: `sweep.timeout`.
        trial_seconds: `sweep.trial_timeout`.
        clock: returns the time in seconds.
    """

    seconds: float | None
    trial_seconds: float | None
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def tick(self) -> float | None:
        """Seconds between checks of the limits; None if there are no limits."""
        return None if self.seconds is None and self.trial_seconds is None else _TICK

    @property
    def beyond(self) -> float:
        """Seconds since the sweep's timeout; 0 before it."""
        return 0.0 if self.seconds is None else max(0.0, self.clock() - self.begun - self.seconds)

    @property
    def is_out_of_time(self) -> bool:
        """Whether no further trial may start."""
        return self.seconds is not None and self.clock() - self.begun >= self.seconds

    def is_beyond(self, longest: float | None) -> bool:
        """Return whether running trials count as hanging, given the seconds of the longest finished trial."""
        if self.seconds is None:
            return False
        usual = self.seconds if longest is None else _TIMES * longest
        return self.beyond > max(usual, _LEAST)

    def of_trial(self) -> TrialLimits:
        """Return the limits of a trial that starts now."""
        return TrialLimits(self.trial_seconds, self.clock)
