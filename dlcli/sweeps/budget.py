"""Time limits of a sweep and of its trials."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dlcli.errors import TrainingError
from dlcli.executors.time_limits import too_long

_TICK = 0.5  # seconds between two checks of the clock

# After `sweep.timeout`, running trials may continue for twice the duration of the longest finished trial (or once the
# timeout if none has finished), and for at least _LEAST seconds.
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
        """Restart the clock. Called when the trial has a process, after waiting for one."""
        self.begun = self.clock()

    def overrun(self) -> TrainingError | None:
        """Return an error if the trial has exceeded its limit, else None."""
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
        """Interval between checks of the limits, in seconds; None without limits."""
        return None if self.seconds is None and self.trial_seconds is None else _TICK

    @property
    def beyond(self) -> float:
        """Seconds since the sweep's timeout; 0 before the timeout."""
        return 0.0 if self.seconds is None else max(0.0, self.clock() - self.begun - self.seconds)

    @property
    def is_out_of_time(self) -> bool:
        """Whether no further trial may start."""
        return self.seconds is not None and self.clock() - self.begun >= self.seconds

    def is_beyond(self, longest: float | None) -> bool:
        """Return whether running trials have to be ended, given the seconds of the longest finished trial."""
        if self.seconds is None:
            return False
        usual = self.seconds if longest is None else _TIMES * longest
        return self.beyond > max(usual, _LEAST)

    def of_trial(self) -> TrialLimits:
        """Return the limit of a trial that starts now."""
        return TrialLimits(self.trial_seconds, self.clock)
