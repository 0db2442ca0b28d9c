"""Select the members of an ensemble among candidates, on rows that they were not trained on, and evaluate it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.errors import DataError, InputError
from dlcli.formatting import number
from dlcli.inference.ensemble_model import EnsembleMember, ensemble_of
from dlcli.inference.evaluation import Evaluation, evaluate_rows, figures, predictions_table
from dlcli.inference.greedy import Selection, select_greedily
from dlcli.inference.member_outline import MemberOutline, merged
from dlcli.inference.partial_means import means_over, notices_on_means
from dlcli.inference.predictions_file import write_predictions
from dlcli.inference.saved_model import SavedModel
from dlcli.runs.ensembles import OpenedModel
from dlcli.runs.folder import OpenedRun
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_split
from dlcli.splits.split import Part, Split
from dlcli.sweeps.ensemble_candidates import EnsembleCandidate
from dlcli.sweeps.member_tuning import told_of_tuning, tune_members
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields
from dlcli.training.scores import Scores

# Steps of the selection; members count as often as they were added.
USUAL_SIZE = 25


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble that was selected.

    Attributes:
        model: The ensemble.
        members: Run of each model, its count in the mean, and the facts tuned for it.
        split: Its rows: those that a member was trained on, those of the selection, and the final test rows.
        result: The entries `members` and `selection` of the run's result.
        messages: What was selected, and how.
        counts: How often each candidate was selected.
    """

    model: SavedModel
    members: tuple[tuple[OpenedRun, int, dict[str, Any]], ...]
    split: Split
    result: dict[str, Any]
    messages: list[str]
    counts: tuple[int, ...]

    def evaluate(
        self, data: Data, run_dir: Path, device: torch.device
    ) -> tuple[dict[str, float], dict[str, float], dict[str, int], list[str]]:
        """Evaluate the ensemble once, on the final test rows, and write the predictions into a run's folder.

        Returns:
            Metrics and baselines' metrics by name, the number of classes of means over some, and sentences on them.
        """
        if not len(self.split.test):
            return {}, {}, {}, []
        with model_errors(self.members[0][0].folder):
            evaluation: dict[Part, Evaluation] = {
                "test": evaluate_rows(self.model, data, self.split.test, device)
            }
        figured, baselines = figures(evaluation)
        write_predictions(run_dir, predictions_table(self.model, evaluation, is_fold=False))
        told = [f"{one.text}." for one in notices_on_means(self.model.task, evaluation)]
        return figured, baselines, means_over(evaluation), told


def select_ensemble(
    candidates: Sequence[EnsembleCandidate],
    data: Data,
    tested: np.ndarray,
    device: torch.device,
    *,
    metric: str,
    mode: str | None,
    size: int = USUAL_SIZE,
    alone: str = "",
) -> SelectedEnsemble:
    """Select members greedily, by the predictions of rows that they were not trained on.

    The models of one candidate are in memory at a time, and in the end those of the selected ones.

    Args:
        candidates: Runs whose models are the candidates; those of a run's folds are members together.
        data: The rows that all of them were trained on.
        tested: Numbers of the final test rows.
        device: Device of the forward passes.
        metric: The metric of the selection.
        mode: `min` or `max`; None for the direction of the metric.
        size: Number of members that are added, with replacement.
        alone: For a single candidate, the reason why there are no others.

    Raises:
        InputError: The candidates are incompatible, or lack the metric.
        DataError: The candidates were evaluated on different rows, or trained on the final test rows.
    """
    judged: list[_Judged] = []
    for one in candidates:
        judged.append(_judge(one, data, device, judged[0].outlines[0] if judged else None, metric, mode))
        _check_rows(judged)
    first, rows = candidates[0].parts[0], judged[0].rows
    with first.gate.closed():
        task = merged([outline for one in judged for outline in one.outlines], same_data=True).task
    name, maximize = _judged_by(task, metric, mode)
    with model_errors(first.folder):
        outputs = [one.combined(task) for one in judged]
        found = select_greedily(
            outputs, task.combined, _score(task, data, rows, name), maximize=maximize, size=size
        )
    if math.isnan(found.score):
        hint = "Choose another metric: --metric loss."
        raise DataError(f"{name} is undefined on the {len(rows):,} rows for every model", "--metric", hint)
    places = [place for place, count in enumerate(found.counts) if count]
    parts = {
        place: [
            replace(part, tuned={**part.tuned, **judged[place].tuned}) for part in candidates[place].parts
        ]
        for place in places
    }
    own = {place: [part.load_model() for part in parts[place]] for place in places}
    with first.gate.closed():
        model = ensemble_of(
            [
                EnsembleMember(part.ledger.run_name, one, found.counts[place])
                for place in places
                for part, one in zip(parts[place], own[place], strict=True)
            ],
            same_data=True,
        )
    members = tuple(
        (part, found.counts[place], judged[place].tuned)
        for place in places
        for part in candidates[place].parts
    )
    hint = "Name runs with the same final test rows: the same cv, cv.test_size and cv.seed."
    opened = OpenedModel(first, model, tuple(part for part, *_ in members))
    opened.check_unseen(data, tested, hint)
    trained = np.unique(np.concatenate([read_split(part.ledger, len(data)).train for part, *_ in members]))
    messages = _told(candidates, found, name, len(rows), len(tested), alone)
    messages += told_of_tuning([(candidates[place], own[place], judged[place].tuned) for place in places])
    result = {
        "members": [
            {
                "run_id": part.ledger.run_id,
                "run_name": part.ledger.run_name,
                "count": count,
                **({"tuned": tuned} if tuned else {}),
            }
            for part, count, tuned in members
        ],
        "selection": {
            "metric": name,
            "rows": len(rows),
            "candidates": len(candidates),
            "ensemble": found.score,
            "best_single": found.single,
            "best_run": candidates[found.best].name,
        },
    }
    split = Split(np.setdiff1d(trained, np.concatenate([rows, tested])), rows, tested)
    return SelectedEnsemble(model, members, split, result, messages, found.counts)


@dataclass(frozen=True)
class _Judged:
    """What the selection needs of a candidate; its models are no longer in memory.

    Attributes:
        candidate: The candidate.
        outlines: Outline of each of its models.
        tasks: Task of each model that is evaluated, with the facts that were tuned.
        tuned: These facts.
        numbers: Row numbers that each of these models was not trained on, as often as they are held out.
        outputs: Their outputs, in the units of their tasks.
    """

    candidate: EnsembleCandidate
    outlines: list[MemberOutline]
    tasks: list[Task]
    tuned: dict[str, Any]
    numbers: list[np.ndarray]
    outputs: list[Tensor]

    @property
    def rows(self) -> np.ndarray:
        """The row numbers `(N,)`, in ascending order, each once."""
        return np.unique(np.concatenate(self.numbers))

    def combined(self, task: Task) -> Tensor:
        """Return the outputs `(N, ...)` for `rows`, in the units of a task."""
        outputs = torch.cat(
            [task.converted(own, source) for own, source in zip(self.outputs, self.tasks, strict=True)]
        )
        order = torch.from_numpy(np.argsort(np.concatenate(self.numbers), kind="stable"))
        return task.combined(outputs[order].reshape(len(self.rows), -1, *outputs.shape[1:]))


def _judge(
    candidate: EnsembleCandidate,
    data: Data,
    device: torch.device,
    first: MemberOutline | None,
    metric: str,
    mode: str | None,
) -> _Judged:
    """Load the models of a candidate, and tune and evaluate them; only one candidate is in memory at a time.

    Raises:
        InputError: The candidate does not fit the first one, or lacks the metric.
        DataError: It has no rows that it was not trained on, or some more often than others.
    """
    name = candidate.name
    models = [part.load_model() for part in candidate.parts]
    outlines = [
        MemberOutline.of(part.ledger.run_name, model)
        for part, model in zip(candidate.parts, models, strict=True)
    ]
    with candidate.parts[0].gate.closed():
        task = merged([first, *outlines] if first else outlines, same_data=True).task
    _judged_by(task, metric, mode)
    with model_errors(candidate.parts[0].folder):
        models, tuned = tune_members(candidate, models, data, device)
        held_out = [
            (model, rows)
            for model, rows in zip(models, candidate.held_out(len(data)), strict=True)
            if len(rows)
        ]
        if not held_out:
            hint = "A refitted model has none: name the cross-validation or the trials."
            raise DataError("has no rows to be evaluated on", name, hint)
        numbers = [rows for _, rows in held_out]
        _, counts = np.unique(np.concatenate(numbers), return_counts=True)
        if (counts != counts[0]).any():
            hint = "Name runs whose folds hold out each row equally often: cv=kfold"
            raise DataError("its folds hold out some rows more often than others", name, hint)
        outputs = [model.outputs(take(data.x, rows), device) for model, rows in held_out]
    return _Judged(candidate, outlines, [model.task for model, _ in held_out], tuned, numbers, outputs)


def _check_rows(judged: Sequence[_Judged]) -> None:
    """Raise a DataError if the last candidate was evaluated on other rows than the first one."""
    first, last = judged[0], judged[-1]
    if not np.array_equal(first.rows, last.rows):
        raise DataError(
            f"is evaluated on other rows than {first.candidate.name}",
            last.candidate.name,
            "Name runs with the same cv, folds and cv.seed.",
        )


def _judged_by(task: Task, metric: str, mode: str | None) -> tuple[str, bool]:
    """Return the metric of the selection, and whether higher values are better."""
    name = metric.rpartition("/")[2]
    names = ("loss", *task.metric_names)
    if name not in names:
        raise InputError(
            f"{name} is not a metric of the task", "--metric", f"Choose one of {', '.join(names)}."
        )
    better = task.scales()[name]["better"] if mode is None else {"min": "lower", "max": "higher"}[mode]
    if better is None:
        raise InputError(f"neither more nor less of {name} is better", "--metric", "Choose another metric.")
    return name, better == "higher"


def _score(task: Task, data: Data, rows: np.ndarray, metric: str) -> Any:
    encoded = as_fields({"y": task.encode(data.y[rows])})["y"][:]
    scores = Scores(task, [] if metric == "loss" else [metric])

    def score(outputs: Tensor) -> float:
        scores.add(outputs, encoded)
        return float(scores.compute()[metric])

    return score


def _told(
    candidates: Sequence[EnsembleCandidate], found: Selection, metric: str, rows: int, tested: int, alone: str
) -> list[str]:
    where = f"on {rows:,} rows that each was not trained on"
    single = f"{number(found.single)} for the best single one, {candidates[found.best].name}"
    chosen = [(one, count) for one, count in zip(candidates, found.counts, strict=True) if count]
    if len(candidates) == 1:
        said = [f"{candidates[0].name} is the only candidate for the ensemble{alone and f', as {alone}'}."]
    elif len(chosen) == 1:
        said = [
            f"Of {len(candidates)} candidates only {chosen[0][0].name} was selected: no ensemble had a "
            f"better {metric} {where} ({number(found.score)}, which is optimistic)."
        ]
    else:
        names = ", ".join(one.name + (f" ({count} times)" if count > 1 else "") for one, count in chosen)
        said = [
            f"Of {len(candidates)} candidates, selected {where}: {names}.",
            f"On these rows {metric} is {number(found.score)}, and {single}. Both were selected on these rows, so both "
            "values are optimistic.",
        ]
    if not tested:
        said.append("There are no final test rows (cv.test_size) to evaluate the ensemble on.")
    return said
