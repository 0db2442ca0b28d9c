"""The baseline `trees`: gradient-boosted trees on the same training rows, evaluated on the same rows as the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from dlcli.config.build import locate
from dlcli.datasets.data import Data, take
from dlcli.datasets.notices import Notice
from dlcli.inference.evaluation import TREES, Evaluation
from dlcli.models.hist_gradient_boosting import HistGradientBoosting
from dlcli.models.tree_rows import Rows
from dlcli.preprocessing.columns.texts import TextDirections
from dlcli.preprocessing.fitted import FittedPreprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Part
from dlcli.tasks import losses
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields
from dlcli.training.scores import Scores

# Number of boosting iterations, and interval between evaluations on the validation rows.
_ITERATIONS, _EACH = 100, 20

# By default, the baseline is computed from this number of training rows on (fewer leave too few test rows to tell
# models apart), and up to this number of trees times values in the training rows, which takes some seconds.
_FEWEST, _MOST = 500, 500_000_000

# Cost per character of a text, in the same unit, and number of texts whose length is measured.
_OF_A_CHARACTER, _SOME = 40, 1000


def wants_trees(config: Mapping[str, Any], data: Data, fitted: FittedPreprocessing, task: Task) -> bool:
    """Return whether to compute the baseline; the arguments are those of `add_trees`."""
    asked = config.get("baseline", "none")
    loss = type(task.criterion)
    has_trees = loss.__name__ in HistGradientBoosting.losses and getattr(losses, loss.__name__, None) is loss
    is_table = data.kind == "table" and isinstance(data.x, pd.DataFrame)
    if asked == "none" or not is_table or not has_trees:
        return False
    if asked == "trees":
        return True
    texts, rows = _texts_of(fitted), fitted.rows
    columns = data.x.shape[1] + sum(len(one.vectors_) for one in texts.values())
    work = len(rows) * columns * task.num_outputs * _ITERATIONS
    some = rows[:: -(-len(rows) // _SOME)] if len(rows) else rows
    characters = sum(data.x[name].iloc[some].astype(str).str.len().mean() for name in texts)
    work += int(len(rows) * characters * _OF_A_CHARACTER)
    is_forest = getattr(locate(config["model"]["_target_"]), "is_forest", False)
    return not is_forest and len(rows) >= _FEWEST and work <= _MOST


def add_trees(
    config: Mapping[str, Any],
    data: Data,
    fitted: FittedPreprocessing,
    seed: int,
    task: Task,
    evaluations: Mapping[Part, Evaluation],
    *,
    is_slim: bool = False,
) -> list[Notice]:
    """Train trees on the training rows, and add their metrics to the baselines, if `wants_trees`.

    The number of iterations is chosen on the validation rows, like the epoch of the model. An error does not fail the
    run, unless the baseline was requested.

    Args:
        config: the run's configuration.
        data: the dataset.
        fitted: the model's preprocessing, and the training rows that it has not dropped.
        seed: seed of the model.
        task: task of the model, on the CPU, with default thresholds.
        evaluations: evaluations of the model, which the baseline is added to.
        is_slim: whether the run is a fold or a trial, which has the baseline only if it was requested.

    Returns:
        A notice if there were no validation rows to choose the number of iterations, or if the trees failed.
    """
    is_asked_for = config.get("baseline") == TREES
    is_left_out = is_slim and not is_asked_for
    if is_left_out or not evaluations or not wants_trees(config, data, fitted, task):
        return []
    try:
        found = _trees(data, fitted, seed, task.baseline()[0], evaluations)
    except Exception as error:  # the trees may reject values that the model accepts
        if is_asked_for:
            error.add_note("The model is trained: resumed with baseline=none, the run ends without trees")
            raise
        text = f"there are no trees to compare this run with: {error or type(error).__name__}"
        return [Notice("no_trees", 1, text, "baseline", warns=False)]
    for part, (metrics, outputs) in found.items():
        evaluations[part].baselines[TREES], evaluations[part].baseline_outputs[TREES] = metrics, outputs
    if "val" in evaluations:
        return []
    text = f"the trees have all {_ITERATIONS} iterations: there are no validation rows to choose fewer"
    return [Notice("tree_iterations", _ITERATIONS, text, "baseline", warns=False)]


def _trees(
    data: Data, fitted: FittedPreprocessing, seed: int, task: Task, evaluations: Mapping[Part, Evaluation]
) -> dict[Part, tuple[dict[str, float], torch.Tensor]]:
    """Return the metrics and the outputs of the trees on each part."""
    own = fitted.preprocessing
    dates = own.dates if isinstance(own, Table) else "parts"
    table = Table(scaling="center", missing="keep", categorical="ordinal", dates=dates)
    table.fit_on(data.x, fitted.rows, texts=_texts_of(fitted))

    def inputs(rows: np.ndarray) -> np.ndarray:
        x: np.ndarray = table.transform(take(data.x, rows))["x"]
        return x.astype(np.float64)

    x, y = inputs(fitted.rows), np.asarray(task.encode(data.y[fitted.rows]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HistGradientBoosting(x.shape[1:], task.num_outputs, max_iter=_ITERATIONS)
    grower = model.grower(Rows(x, y, task.criterion))
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
        if chosen and not loss < best:  # a loss may be infinite or NaN
            break
        best, chosen = loss, outputs
    found = {}
    for part in evaluations:
        scores = Scores(task)
        scores.update(chosen[part], targets[part])
        found[part] = scores.compute(), chosen[part]
    return found


def _texts_of(fitted: FittedPreprocessing) -> Mapping[str, TextDirections]:
    """Return the encodings of the model's columns of texts, which the trees use unchanged."""
    return fitted.preprocessing.texts_ if isinstance(fitted.preprocessing, Table) else {}


def _parts() -> Iterator[tuple[int, int]]:
    for first in range(0, _ITERATIONS, _EACH):
        yield first, first + _EACH
