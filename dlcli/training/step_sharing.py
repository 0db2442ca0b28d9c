"""How a training run shared its steps with others, and its own time."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class StepSharing:
    """How a training run shared its steps with others.

    Attributes:
        runs: number of runs, this one included, that took their steps together.
        waited: seconds in which it waited for the others.
        why_alone: why it took its steps alone where that could have been; empty if it did not.
    """

    runs: int = 1
    waited: float = 0.0
    why_alone: str = ""

    def clock(self) -> float:
        """Return a time in seconds that stands still while the run waits for others."""
        return time.perf_counter() - self.waited
