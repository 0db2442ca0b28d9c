"""`Result`: what a finished run was worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Result:
    """A finished run.

    `metrics` are the best epoch's weights on each part: `val/loss`, `test/accuracy`, ... `baselines` are, under the
    same names, those of a guess that looks at no row. `messages` are sentences for a person. A sweep has `trials`, each
    with its `params` and `value`, and the `best` of them with the `command` that trains it; of several objectives also
    the numbers of the trials on the Pareto `front`. A fold that chose for itself has `params`, too.
    """

    status: str
    run_id: str
    run_name: str
    experiment: str
    run_dir: Path
    tracking_uri: str
    metrics: dict[str, float]
    duration_s: float
    baselines: dict[str, float] = field(default_factory=dict)
    folds: tuple[Result, ...] = ()
    trials: tuple[dict[str, Any], ...] = ()
    best: dict[str, Any] | None = None
    front: tuple[int, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """The `--json` contract."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "run_id": self.run_id,
            "run_name": self.run_name,
            "experiment": self.experiment,
            "run_dir": str(self.run_dir),
            "tracking_uri": self.tracking_uri,
            "metrics": self.metrics,
            "baselines": self.baselines,
            "folds": [
                {"fold": number, "run_id": fold.run_id, "status": fold.status, "metrics": fold.metrics}
                | ({"params": fold.params} if fold.params else {})
                for number, fold in enumerate(self.folds)
            ],
            "duration_s": self.duration_s,
        }
        sweep = {"trials": list(self.trials), "best": self.best, "front": list(self.front)}
        return document | (sweep if self.trials else {})
