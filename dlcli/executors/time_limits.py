"""How long a job may take, and how long its process may be silent: decided by whoever waits for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dlcli.config.timespan import in_words, seconds_of
from dlcli.errors import TrainingError

# Lightning looks at the clock after a batch, and may validate once more: a training that goes on for half as long
# again, and a minute, hangs.
_MORE, _LEAST = 0.5, 60.0

# A silence is told to the user after this share of what is waited for.
_TOLD = 0.2


@dataclass(frozen=True)
class Limits:
    """Of one job, in seconds; None: as long as it takes.

    Attributes:
        job: the whole of it (`executor.job_timeout`).
        fit: its training (`trainer.max_time`, which the training should keep itself, and a grace).
        silence: of its process (`executor.silence`).
    """

    job: float | None = None
    fit: float | None = None
    silence: float | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Those of a job's configuration."""
        executor, longest = config["executor"], max_seconds(config["trainer"].get("max_time"))
        return cls(
            seconds_of(executor.get("job_timeout"), "executor.job_timeout"),
            longest * (1 + _MORE) + _LEAST if longest is not None else None,
            seconds_of(executor.get("silence"), "executor.silence"),
        )

    @property
    def any_of_time(self) -> bool:
        """Whether a job has to be ended from outside where it takes too long."""
        return self.job is not None or self.fit is not None


def max_seconds(max_time: Any) -> float | None:
    """Lightning's `max_time` (text DD:HH:MM:SS, or the arguments of a timedelta) in seconds."""
    if isinstance(max_time, str) and re.fullmatch(r"\d+:\d+:\d+:\d+", max_time.strip()):
        days, hours, minutes, seconds = map(int, max_time.split(":"))
        max_time = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    if isinstance(max_time, Mapping):
        return timedelta(**max_time).total_seconds()
    return max_time.total_seconds() if isinstance(max_time, timedelta) else None


def too_long(key: str, seconds: float, what: str = "the training") -> TrainingError:
    """That something took longer than a key allows."""
    return TrainingError(f"{what} took longer than {in_words(seconds)}, and was ended", key)


def went_on(seconds: float) -> str:
    """That a training has not heeded its own limit."""
    return f"the training still went on after {in_words(seconds)}, and was ended"


class Silent(Exception):
    """A process gave no sign of life for as long as it may; says for how long, and in what state it was."""


class Oversight:
    """Of one job in another process: fed with its messages, asked again and again.

    Args:
        limits: the job's.
        silence: seconds for which its process has given no sign of life.
        heard: called with each sign that comes by a message.
        state: what a silent process is doing, in words.
        tell: hears of a silence before it has consequences.
        clock: seconds.
    """

    def __init__(
        self,
        limits: Limits,
        silence: Callable[[], float],
        heard: Callable[[], None],
        state: Callable[[], str],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._silence = silence
        self._heard = heard
        self._state = state
        self._tell = tell
        self._clock = clock
        self._begun = clock()
        self._fit_begun: float | None = None
        self._is_told = False

    def hears(self, event: str) -> None:
        """A message has come."""
        self._heard()
        self._is_told = False
        if event == "prepared":
            self._fit_begun = self._clock()
        elif event == "trained":
            self._fit_begun = None

    def check(self) -> None:
        """See whether it may go on.

        Raises:
            TrainingError: it has taken too long.
            Silent: its process gives no sign of life.
        """
        now, limits = self._clock(), self._limits
        if limits.job is not None and now - self._begun > limits.job:
            raise too_long("executor.job_timeout", limits.job)
        if limits.fit is not None and self._fit_begun is not None and now - self._fit_begun > limits.fit:
            raise TrainingError(went_on(limits.fit), "trainer.max_time")
        if limits.silence is None:
            return
        silence = self._silence()
        if silence >= limits.silence:
            raise Silent(f"it gave no sign of life for {in_words(limits.silence)}: {self._state()}")
        if silence < _TOLD * limits.silence:
            self._is_told = False
        elif not self._is_told:
            self._is_told = True
            self._tell(
                f"has given no sign of life for {in_words(silence)}: {self._state()}. "
                f"After {in_words(limits.silence)} it is replaced (executor.silence)."
            )
