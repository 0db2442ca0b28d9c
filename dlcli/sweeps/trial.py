"""A trial: a point of the space with its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

# `running` is also the state of a trial that was stopped and will continue.
State = Literal["running", "finished", "pruned", "failed"]
ENDINGS: tuple[State, ...] = ("finished", "pruned", "failed")

BEST_TAG = "dlcli.best"


@dataclass
class Trial:
    """One trial.

    Attributes:
        number: number of the trial, from 0.
        params: key to value.
        run_dir: folder of its run.
        run_id: ID of its run.
        state: running, finished, pruned or failed.
        values: value of each objective, once it has finished.
        reports: epoch or fold (from 1) to the reported value of the first objective.
        metrics: metrics, as means over its folds.
        reason: why it failed.
        seconds: its duration; for a trial that was stopped, since it was continued.
    """

    number: int
    params: dict[str, Any]
    run_dir: Path
    run_id: str
    state: State = "running"
    values: tuple[float, ...] = ()
    reports: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return its entry of the `--json` document."""
        values = self.values if self.state == "finished" else ()
        return {
            "trial": self.number,
            "run_id": self.run_id,
            "status": self.state.upper(),
            "params": self.params,
            "value": values[0] if values else None,
            "values": list(values),
            "metrics": self.metrics,
            "reason": self.reason,
            "duration_s": self.seconds,
        }
