"""Evaluate a saved model on some rows. `train` records the metrics, and `eval` reproduces them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.datasets.notices import Notice
from dlcli.errors import CorruptRun, first_line
from dlcli.files.regular import os_reason
from dlcli.formatting import number
from dlcli.gate.arrays import open_arrays
from dlcli.inference.saved_model import SavedModel
from dlcli.splits.split import Part, name_of_part
from dlcli.tasks.base import Task
from dlcli.training.features import Features
from dlcli.training.scores import Scores

OUTPUTS = "outputs.npz"

# The name of the baseline of decision trees, which `dlcli.assembly.tree_baseline` adds.
TREES = "trees"
_MAX_METRICS = 2  # metrics of a named baseline that its sentence contains
_MAX_OUTPUTS = 100_000  # of a row; forecasts have the most
_COPY = "Copy the folder again, or train again."


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The kept outputs of a model on some rows, and their metrics.

    Attributes:
        rows: Row numbers, `(N,)`.
        y: Raw targets of the rows.
        outputs: The kept outputs, as `Task.kept` returns them, `(N, ...)`.
        metrics: Name to value, including the loss.
        baselines: Baseline to its metrics. The baseline with the empty name predicts the most frequent class or the
            mean of the training rows; for series there are naive forecasts as well.
        baseline_outputs: Baseline to its outputs, `(N, ...)`, if the baseline is a model.
        over: Metric to the number of classes, labels or targets that it is the mean of, and that of all, if some are
            undefined on these rows.
        remarks: Metric to the warnings of the library that has computed it.
    """

    rows: np.ndarray
    y: Any
    outputs: Tensor
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    baseline_outputs: dict[str, Tensor] = field(default_factory=dict)
    over: dict[str, tuple[int, int]] = field(default_factory=dict)
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def evaluate_rows(
    model: SavedModel,
    data: Data,
    rows: np.ndarray,
    device: torch.device | str = "cpu",
    features: Features | None = None,
    counts: Counter[str] | None = None,
) -> Evaluation:
    """Predict the raw rows and compute the metrics of the predictions.

    Args:
        model: The model.
        data: Rows of the dataset.
        rows: Numbers of the rows to evaluate, `(N,)`.
        device: Device of the forward passes.
        features: Cached features of the model's backbone, which are read instead of the rows.
        counts: Receives the numbers of truncated or unknown values, unless there are features.

    Returns:
        The evaluation. Its loss is the task's loss over all rows.
    """
    outputs, encoded = kept_on(model, data, rows, device, features, counts)
    scores: dict[Task, Scores] = {}  # baselines often share a task, and its metrics are slow to set up

    def metrics(
        task: Task, outputs: Tensor, over: dict[str, tuple[int, int]] | None = None
    ) -> dict[str, float]:
        if task not in scores:
            scores[task] = Scores(task)
        scores[task].add(outputs, encoded)
        return scores[task].compute(over)

    over: dict[str, tuple[int, int]] = {}
    return Evaluation(
        rows,
        data.y[rows],
        outputs,
        metrics=metrics(model.task, outputs, over),
        baselines={
            name: _informative(task, metrics(task, guess))
            for name, (task, guess) in model.task.baselines(take(data.x, rows), outputs, data.y[rows]).items()
        },
        over=over,
        remarks=dict(scores[model.task].remarks),
    )


def kept_on(
    model: SavedModel,
    data: Data,
    rows: np.ndarray,
    device: torch.device | str,
    features: Features | None,
    counts: Counter[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the kept outputs and targets of some rows, computed from cached features if there are any."""
    if features is None:
        return model.kept_of(model.fields(take(data.x, rows), counts), data.y[rows], device)
    return model.kept_of({"features": features.read(rows)}, data.y[rows], device)


def _informative(task: Task, metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics of a baseline without those that are meaningless for a constant prediction.

    For example, constant class shares are calibrated by construction, and a correlation with a constant is undefined.
    """
    silent = {choice.name for choice in task.metric_choices if not choice.has_baseline}
    silent |= {
        choice.name
        for choice in task.metric_choices
        if "constant_prediction" in choice.undefined and math.isnan(metrics[choice.name])
    }
    return {name: value for name, value in metrics.items() if name not in silent}


def figures(evaluations: Mapping[Part, Evaluation]) -> tuple[dict[str, float], dict[str, float]]:
    """Return metrics and baselines' metrics by name: `test/accuracy`; for a named baseline `naive/test/mse`."""
    metrics: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for part, evaluation in evaluations.items():
        metrics |= {f"{part}/{name}": value for name, value in evaluation.metrics.items()}
        for guess, values in evaluation.baselines.items():
            prefix = f"{guess}/{part}" if guess else part
            baselines |= {f"{prefix}/{name}": value for name, value in values.items()}
    return metrics, baselines


def notices_on_loss(task: Task, evaluations: Mapping[Part, Evaluation]) -> list[Notice]:
    """Return the notices on validation and test rows that the loss does not count."""
    names: dict[Part, str] = {"val": "validation"}
    return [
        notice
        for part, found in evaluations.items()
        for notice in task.left_out_of_loss(found.outputs, names.get(part, part))
    ]


def named_baselines(task: Task, evaluations: Mapping[Part, Evaluation]) -> list[str]:
    """Return the sentence about the named baselines on the last evaluated part, as a list of at most one item.

    The baseline without a name is not included, because the table of metrics has a column for it.
    """
    if not evaluations:
        return []
    part, evaluation = list(evaluations.items())[-1]
    words, sentences = task.baseline_descriptions(), []
    for guess, values in evaluation.baselines.items():
        if guess and guess != TREES:
            main = [name for name in values if name != "loss"][:_MAX_METRICS]
            metrics = ", ".join(f"{part}/{name} {number(values[name])}" for name in main)
            repeated = f", which repeats {words[guess]}," if guess in words else ""
            sentences.append(f"The {guess} baseline{repeated} has {metrics}.")
    if sentences and "" in words:
        sentences.insert(0, f"The baseline in the table repeats {words['']}.")
    return [" ".join(sentences)] if sentences else []


def save_outputs(
    run_dir: Path,
    model: SavedModel,
    data: Data,
    evaluation: Evaluation,
    device: torch.device,
    features: Features | None,
) -> None:
    """Write the outputs to `outputs.npz`, from which the parent of the folds draws its plots.

    The outputs of a calibrated model are also written without the calibration, as `uncalibrated`.
    """
    arrays: dict[str, Any] = {"rows": evaluation.rows, "outputs": evaluation.outputs.numpy()}
    if model.network.calibration is not None:
        bare = replace(model, network=model.network.calibrated_by(None))
        arrays["uncalibrated"] = kept_on(bare, data, evaluation.rows, device, features)[0].numpy()
    np.savez_compressed(run_dir / OUTPUTS, **arrays)


def load_outputs(
    run_dir: Path, held_out: np.ndarray, *, uncalibrated: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row indices `(N,)` and outputs `(N, ...)` of a fold's held-out rows.

    Args:
        run_dir: the fold's folder.
        held_out: the rows that the fold holds out.
        uncalibrated: return the outputs without the fold's own calibration.

    Raises:
        CorruptRun: The file is missing or damaged, or has other rows, or more outputs than a row can have.
    """
    path = run_dir / OUTPUTS
    try:
        with open_arrays(path) as parts:
            name = "uncalibrated" if uncalibrated and "uncalibrated" in parts else "outputs"
            rows, outputs = (parts.header(each) for each in ("rows", name))
            if not np.issubdtype(rows.dtype, np.integer) or not np.issubdtype(outputs.dtype, np.floating):
                raise ValueError("it does not contain row numbers and outputs")
            if rows.shape != (len(held_out),) or outputs.shape[:1] != rows.shape:
                raise ValueError(f"it does not have the {len(held_out):,} rows of the fold")
            if math.prod(outputs.shape[1:]) > _MAX_OUTPUTS:
                raise ValueError(f"it has more than {_MAX_OUTPUTS:,} outputs per row")
            found = parts.read("rows"), parts.read(name)
        if not np.array_equal(np.sort(found[0]), np.sort(held_out)):
            raise ValueError("it has other rows than the fold")
        return found
    except OSError as error:
        raise CorruptRun(f"the fold's file of outputs {os_reason(error)}", str(path), _COPY) from error
    except Exception as error:  # a damaged archive makes numpy and zipfile fail in many ways
        raise CorruptRun(
            f"the fold's outputs cannot be read: {first_line(error)}", str(path), _COPY
        ) from error


def choose_device(accelerator: str) -> torch.device:
    """Return the device that a trainer with this `accelerator` would use."""
    found = torch.accelerator.current_accelerator() if accelerator != "cpu" else None
    return found if found is not None and torch.accelerator.is_available() else torch.device("cpu")


def predictions_table(
    model: SavedModel, evaluations: Mapping[Part, Evaluation], *, is_fold: bool
) -> pd.DataFrame:
    """Return the content of `predictions.parquet`: row, split, target, prediction and the task's other columns.

    There is one line per row; for forecasts, one line per row and forecast step. `split` is the name of the part: the
    test rows of a fold are `held-out`, those of any other run `final test`.
    """
    tables = []
    for part, evaluation in evaluations.items():
        judged = model.task.judged(evaluation.outputs, evaluation.y)
        lines = len(judged) // max(1, len(evaluation.rows))
        judged.insert(0, "row", np.repeat(evaluation.rows, lines), allow_duplicates=True)
        judged.insert(1, "split", name_of_part(part, is_fold), allow_duplicates=True)
        tables.append(judged)
    return pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
