"""The baseline `trees`: a quick forest on the same training rows, evaluated on the same rows as the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dlcli.config.build import locate
from dlcli.datasets.data import Data, take
from dlcli.inference.evaluate import TREES, Evaluation
from dlcli.models.hist_gradient_boosting import HistGradientBoosting
from dlcli.preprocessing.fitted import fit_preprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Part, Split
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields
from dlcli.training.scores import Scores
from dlcli.training.tree_growth import Rows, grower_of

# Iterations of boosting, and after how many of them the validation rows are looked at.
_ITERATIONS, _EACH = 100, 20

# By default from this number of training rows on, since fewer leave too few test rows to tell models apart; and up to
# this number of trees times numbers in the training rows, which take some seconds.
_FEWEST, _MOST = 500, 500_000_000


def wants_trees(config: Mapping[str, Any], data: Data, rows: Sequence[int] | np.ndarray, task: Task) -> bool:
    """Return whether a run has the baseline.

    Args:
        config: the run's configuration.
        data: the dataset.
        rows: the training rows.
        task: the task.
    """
    asked = config.get("baseline", "none")
    name = type(task.criterion).__name__
    if asked == "none" or data.kind != "table" or name not in HistGradientBoosting.losses:
        return False
    if asked == "trees":
        return True
    work = len(rows) * data.x.shape[1] * task.num_outputs * _ITERATIONS
    is_forest = getattr(locate(config["model"]["_target_"]), "is_forest", False)
    return not is_forest and len(rows) >= _FEWEST and work <= _MOST


def add_trees(
    config: Mapping[str, Any],
    data: Data,
    split: Split,
    seed: int,
    task: Task,
    evaluations: Mapping[Part, Evaluation],
    *,
    is_slim: bool = False,
) -> None:
    """Grow trees on the training rows, and add their metrics to the baselines of the evaluations, if they are wanted.

    The validation rows choose the number of iterations, as they choose the epoch of the model.

    Args:
        config: the run's configuration.
        data: the dataset.
        split: its rows.
        seed: of the model.
        task: that of the model, on the CPU; thresholds are the default.
        evaluations: of the model.
        is_slim: whether the run is a fold or a trial, which has trees only if they are asked for.
    """
    asked = not is_slim or config.get("baseline") == TREES
    if not (asked and evaluations and wants_trees(config, data, split.train, task)):
        return
    fitted = fit_preprocessing(Table(scaling="none", missing="keep", categorical="ordinal"), data, split)
    task, _ = task.baseline()

    def inputs(rows: np.ndarray) -> np.ndarray:
        x: np.ndarray = fitted.preprocessing.transform(take(data.x, rows))["x"]
        return x.astype(np.float64)

    x, y = inputs(fitted.rows), np.asarray(task.encode(data.y[fitted.rows]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HistGradientBoosting(x.shape[1:], task.num_outputs, max_iter=_ITERATIONS)
    grower = grower_of(model, Rows(x, y, task.criterion))
    sums = {part: np.zeros((len(one.rows), task.num_outputs)) for part, one in evaluations.items()}
    rows = {part: inputs(one.rows) for part, one in evaluations.items()}
    targets = {part: as_fields({"y": task.encode(one.y)})["y"][:] for part, one in evaluations.items()}
    best, chosen = np.inf, dict[Part, torch.Tensor]()
    for first, last in _parts():
        grower.grow(last)
        if not first:
            grower.begin()
        for part, values in rows.items():
            grower.add_to(sums[part], values, first, last)
        with torch.no_grad():
            outputs = {part: model.outputs(torch.from_numpy(own), last) for part, own in sums.items()}
            loss = float(task.loss(outputs["val"], targets["val"])) if "val" in outputs else -last
        if loss >= best:
            break
        best, chosen = loss, outputs
    for part, evaluation in evaluations.items():
        scores = Scores(task)
        scores.update(chosen[part], targets[part])
        evaluation.baselines[TREES] = scores.compute()


def _parts() -> Iterator[tuple[int, int]]:
    for first in range(0, _ITERATIONS, _EACH):
        yield first, first + _EACH
