"""Limits on a job's duration and on its process's inactivity, enforced from outside the process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dlcli.config.timespan import in_words, seconds_of
from dlcli.errors import TrainingError
from dlcli.events import TrainingEnded, TrainingStarted

# Lightning checks `max_time` after a batch, and may validate once more. Training that exceeds it by half and by one
# minute therefore hangs.
_GRACE_SHARE, _GRACE_SECONDS = 0.5, 60.0

# The user is warned after this share of the permitted inactivity.
_WARNING_SHARE = 0.2


@dataclass(frozen=True)
class Limits:
    """Limits of one job, in seconds; None means no limit.

    Attributes:
        job: duration of the job (`executor.job_timeout`).
        fit: duration of training: `trainer.max_time`, which the trainer enforces itself, plus a grace period.
        silence: inactivity of the job's process (`executor.silence`).
    """

    job: float | None = None
    fit: float | None = None
    silence: float | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Return the limits in a job's configuration."""
        executor, longest = config["executor"], max_seconds(config["trainer"].get("max_time"))
        return cls(
            seconds_of(executor.get("job_timeout"), "executor.job_timeout"),
            longest * (1 + _GRACE_SHARE) + _GRACE_SECONDS if longest is not None else None,
            seconds_of(executor.get("silence"), "executor.silence"),
        )

    @property
    def any_of_time(self) -> bool:
        """Whether a limit on time has to be enforced from outside the process."""
        return self.job is not None or self.fit is not None


def max_seconds(max_time: Any) -> float | None:
    """Return Lightning's `max_time` (text DD:HH:MM:SS, or the arguments of a timedelta) in seconds."""
    if isinstance(max_time, str) and re.fullmatch(r"\d+:\d+:\d+:\d+", max_time.strip()):
        days, hours, minutes, seconds = map(int, max_time.split(":"))
        max_time = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    if isinstance(max_time, Mapping):
        return timedelta(**max_time).total_seconds()
    return max_time.total_seconds() if isinstance(max_time, timedelta) else None


def too_long(key: str, seconds: float, what: str = "the training") -> TrainingError:
    """Return the error for something that exceeded the limit in a configuration key."""
    return TrainingError(f"{what} took longer than {in_words(seconds)} and was ended", key)


def overran(seconds: float) -> str:
    """Return the message for training that did not stop at `trainer.max_time`."""
    return f"training was still running after {in_words(seconds)} and was ended"


class Silent(Exception):
    """A process was unresponsive for too long; the message says how long, and in what state it was."""


class Oversight:
    """Supervision of one job in another process; call `on_message` for each message and `check` regularly.

    Args:
        limits: limits of the job.
        silence: returns the seconds for which the process has been inactive.
        note_activity: called for each message of the process, which counts as activity.
        state: returns a description of the state of an inactive process.
        tell: called with a warning before inactivity has consequences.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        limits: Limits,
        silence: Callable[[], float],
        note_activity: Callable[[], None],
        state: Callable[[], str],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._silence = silence
        self._note_activity = note_activity
        self._state = state
        self._tell = tell
        self._clock = clock
        self._begun = clock()
        self._fit_begun: float | None = None
        self._has_warned = False

    def on_message(self, event: str) -> None:
        """Register a message of the process."""
        self._note_activity()
        self._has_warned = False
        if event == TrainingStarted.__name__:
            self._fit_begun = self._clock()
        elif event == TrainingEnded.__name__:
            self._fit_begun = None

    def check(self) -> None:
        """Check the limits.

        Raises:
            TrainingError: A limit on time is exceeded.
            Silent: The process has been unresponsive for too long.
        """
        now, limits = self._clock(), self._limits
        if limits.job is not None and now - self._begun > limits.job:
            raise too_long("executor.job_timeout", limits.job)
        if limits.fit is not None and self._fit_begun is not None and now - self._fit_begun > limits.fit:
            raise TrainingError(overran(limits.fit), "trainer.max_time")
        if limits.silence is None:
            return
        silence = self._silence()
        if silence >= limits.silence:
            raise Silent(f"it was unresponsive for {in_words(limits.silence)}: {self._state()}")
        if silence < _WARNING_SHARE * limits.silence:
            self._has_warned = False
        elif not self._has_warned:
            self._has_warned = True
            self._tell(
                f"has been unresponsive for {in_words(silence)}: {self._state()}. "
                f"It will be replaced after {in_words(limits.silence)} (executor.silence)."
            )
