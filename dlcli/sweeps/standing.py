"""All trials of a sweep so far, and which of them are the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlcli.sweeps.objective import Objective
from dlcli.sweeps.trial import State, Trial


@dataclass
class Standing:
    """The trials by number, and what they are judged by."""

    trials: list[Trial]
    objectives: Sequence[Objective]

    def having(self, state: State) -> list[Trial]:
        """The trials in a state."""
        return [trial for trial in self.trials if trial.state == state]

    @property
    def best(self) -> Trial | None:
        """The best finished trial by the first objective; of equal ones the first."""
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[Trial]:
        """Finished trials, the best first. With several objectives those of the front come first."""
        front = {trial.number for trial in self.front}
        sign = 1 if self.objectives[0].mode == "min" else -1

        def place(trial: Trial) -> tuple[bool, float, int]:
            value = trial.values[0]
            return trial.number not in front, sign * value if math.isfinite(value) else math.inf, trial.number

        return sorted(self.having("finished"), key=place)

    @property
    def front(self) -> list[Trial]:
        """The Pareto front: no other trial is at least as good by every objective, and better by one."""
        done = self.having("finished")
        if len(self.objectives) == 1:
            values = [trial.values[0] for trial in done]
            best = (min if self.objectives[0].mode == "min" else max)(values, default=None)
            return [trial for trial in done if trial.values[0] == best]
        return [trial for trial in done if not any(self._dominates(other, trial) for other in done)]

    def _dominates(self, one: Trial, other: Trial) -> bool:
        pairs = list(zip(self.objectives, one.values, other.values, strict=True))
        return any(o.is_better(a, b) for o, a, b in pairs) and not any(o.is_better(b, a) for o, a, b in pairs)
