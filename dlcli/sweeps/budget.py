"""For how long a sweep begins trials, and for how long each of them may go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dlcli.errors import TrainingError
from dlcli.executors.time_limits import too_long

_TICK = 0.5  # seconds between two looks at the clock

# When the sweep's time is up, a trial that runs may go on for twice as long as the longest one took so far; where none
# has finished, as long again as the sweep had. At least for so many seconds.
_TIMES, _LEAST = 2.0, 30.0


@dataclass
class TrialLimits:
    """Of one trial, from where it begins or goes on.

    Attributes:
        seconds: `sweep.trial_timeout`.
        clock: seconds.
    """

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """It begins now: before, it waited for a process."""
        self.begun = self.clock()

    def overrun(self) -> TrainingError | None:
        """What it has failed by, once it has taken too long."""
        if self.seconds is None or self.clock() - self.begun < self.seconds:
            return None
        return too_long("sweep.trial_timeout", self.seconds, "the trial")


@dataclass
class SweepLimits:
    """Of a sweep, from where it begins or goes on.

    Attributes:
        seconds: `sweep.timeout`.
        trial_seconds: `sweep.trial_timeout`.
        clock: seconds.
    """

    seconds: float | None
    trial_seconds: float | None
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def tick(self) -> float | None:
        """How often somebody has to look; None: nothing depends on the clock."""
        return None if self.seconds is None and self.trial_seconds is None else _TICK

    @property
    def beyond(self) -> float:
        """Seconds since the sweep's time was up; 0 before."""
        return 0.0 if self.seconds is None else max(0.0, self.clock() - self.begun - self.seconds)

    @property
    def is_out_of_time(self) -> bool:
        """Whether no further trial begins."""
        return self.seconds is not None and self.clock() - self.begun >= self.seconds

    def is_beyond(self, longest: float | None) -> bool:
        """Whether trials that still run hang, given what the longest so far took."""
        if self.seconds is None:
            return False
        usual = self.seconds if longest is None else _TIMES * longest
        return self.beyond > max(usual, _LEAST)

    def of_trial(self) -> TrialLimits:
        """Those of a trial that begins now."""
        return TrialLimits(self.trial_seconds, self.clock)
