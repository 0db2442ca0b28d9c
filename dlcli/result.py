"""`Result`: the result of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.formatting import number

if TYPE_CHECKING:
    from dlcli.tracking.ledger import Ledger

SCHEMA_VERSION = 1

# Metrics by which a run is compared with trees; the first two available ones are used.
AGAINST_TREES = ("auroc", "log_loss", "accuracy", "f1", "rmse", "r2")


@dataclass(frozen=True)
class Result:
    """The result of a finished run.

    Attributes:
        status: Status of the run, such as `FINISHED`.
        run_id: ID of the run.
        run_name: Name of the run.
        experiment: Name of the MLflow experiment.
        run_dir: Folder of the run.
        tracking_uri: URI of the MLflow store.
        values: Metrics of the best epoch's weights on each part: `val/loss`, `test/accuracy`, ...
        baselines: The same metrics for a baseline that ignores the inputs.
        over: Metric to the number of classes, labels or targets that it is the mean of, if it is not that of all.
        duration_s: Duration of the run, in seconds.
        folds: Results of the folds of a cross-validation.
        trials: For a sweep, number, `params` and `value` of each trial.
        best: For a sweep, the best trial, with the `command` that trains it.
        front: For a sweep with several objectives, the numbers of the trials on the Pareto front.
        models: For a sweep over models, for each model its number of `trials`, the `value` of the `best` one, and that
            of its `default` settings.
        params: For a fold of a nested cross-validation, the settings that were chosen for it.
        members: For an ensemble, the IDs of the runs whose models are its members.
        notices: Notices on values that were left out or converted when the data was read: `key`, `count`, `text`,
            `where`, `hint`, `warns`.
        messages: Sentences for the user.
        stack: How many folds or trials were trained together as one model, and why others were not.
    """

    status: str
    run_id: str
    run_name: str
    experiment: str
    run_dir: Path
    tracking_uri: str
    values: dict[str, float]
    duration_s: float
    baselines: dict[str, float] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)
    folds: tuple[Result, ...] = ()
    trials: tuple[dict[str, Any], ...] = ()
    best: dict[str, Any] | None = None
    front: tuple[int, ...] = ()
    models: tuple[dict[str, Any], ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    notices: tuple[dict[str, Any], ...] = ()
    messages: tuple[str, ...] = field(default=(), repr=False)
    stack: str = ""

    @classmethod
    def of(cls, ledger: Ledger, run_dir: Path, **fields: Any) -> Result:
        """Return the result of a run whose ledger says which run it is; `fields` are the other fields."""
        return cls(
            run_id=ledger.run_id,
            run_name=ledger.run_name,
            experiment=ledger.experiment,
            run_dir=run_dir,
            tracking_uri=ledger.store_uri,
            **fields,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the `--json` document."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "run_id": self.run_id,
            "run_name": self.run_name,
            "experiment": self.experiment,
            "run_dir": str(self.run_dir),
            "tracking_uri": self.tracking_uri,
            "metrics": self.values,
            "baselines": self.baselines,
            "folds": [
                {"fold": number, "run_id": fold.run_id, "status": fold.status, "metrics": fold.values}
                | ({"over": fold.over} if fold.over else {})
                | ({"params": fold.params} if fold.params else {})
                for number, fold in enumerate(self.folds)
            ],
            "notices": list(self.notices),
            "duration_s": self.duration_s,
        }
        sweep = {
            "trials": list(self.trials),
            "best": self.best,
            "front": list(self.front),
            "models": list(self.models),
        }
        ensemble = {"members": list(self.members)} if self.members else {}
        over = {"over": self.over} if self.over else {}
        stack = {"stack": self.stack} if self.stack else {}
        return document | over | stack | ensemble | (sweep if self.trials else {})


def against_trees(
    metrics: Mapping[str, float], baselines: Mapping[str, float], verdict: str = ""
) -> list[str]:
    """Return the sentence that compares a run with the baseline `trees`, as a list of at most one item.

    Args:
        metrics: metrics of the run: `test/auroc`, or for folds `cv/auroc_mean`.
        baselines: metrics of the baselines; those of the trees are `trees/test/auroc`, ...
        verdict: sentence on which of them is better.
    """
    for part, suffix in (("test", ""), ("cv", "_mean"), ("val", "")):
        names = [f"{part}/{name}{suffix}" for name in AGAINST_TREES]
        found = [name for name in names if name in metrics and f"trees/{name}" in baselines][:2]
        if found:
            values = "; ".join(
                f"{name} {number(baselines[f'trees/{name}'])}, this run {number(metrics[name])}"
                for name in found
            )
            end = f". {verdict}" if verdict else ""
            return [f"trees (HistGradientBoosting on the same training rows): {values}{end}"]
    return []
