"""The ranking of a sweep's trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcli.sweeps.objective import Objective
from dlcli.sweeps.trial import State, Trial


@dataclass
class Standing:
    """The trials by number, and the objectives that rank them."""

    trials: list[Trial]
    objectives: Sequence[Objective]

    def having(self, state: State) -> list[Trial]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]

    @property
    def best(self) -> Trial | None:
        """The best finished trial by the first objective, or None; the first one in case of ties."""
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[Trial]:
        """Finished trials, the best by the first objective first; with several objectives, the Pareto front first."""
        front = {trial.number for trial in self.front}
        return sorted(self._by_first_objective, key=lambda trial: trial.number not in front)

    @property
    def front(self) -> list[Trial]:
        """The Pareto front: trials that no other trial dominates (at least as good in all objectives, better in one).

        With a single objective it is the best trial only; of equal ones the first.
        """
        if len(self.objectives) == 1:
            return self._by_first_objective[:1]

        done = self.having("finished")
        signs = [1 if objective.mode == "min" else -1 for objective in self.objectives]
        values = np.array([trial.values for trial in done]).reshape(len(done), len(signs)) * signs
        no_worse = (values[:, None] <= values).all(axis=-1)
        better = (values[:, None] < values).any(axis=-1)
        dominated = np.any(no_worse & better, axis=0).tolist()
        return [trial for trial, by_another in zip(done, dominated, strict=True) if not by_another]

    @property
    def _by_first_objective(self) -> list[Trial]:
        sign = 1 if self.objectives[0].mode == "min" else -1
        return sorted(self.having("finished"), key=lambda trial: (sign * trial.values[0], trial.number))
