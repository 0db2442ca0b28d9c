"""Figures of a saved model on some rows: what `train` records and `eval` repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.formatting import number
from dlcli.inference.saved_model import SavedModel
from dlcli.splits.split import Part
from dlcli.tasks.base import Task
from dlcli.training.features import Features
from dlcli.training.fields import as_fields
from dlcli.training.scores import Scores

OUTPUTS = "outputs.npz"
_TOLD = 2  # figures of a baseline that has no column of its own


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's outputs on some rows, and what they are worth.

    `baselines` have the same figures of guesses by name: first, without one, that of a guess which looks at no row (the
    training rows' most frequent class, or mean); of a series, naive forecasts.
    """

    rows: np.ndarray
    y: Any
    outputs: Tensor
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]


def evaluate(
    model: SavedModel,
    data: Data,
    rows: np.ndarray,
    device: torch.device | str = "cpu",
    features: Features | None = None,
) -> Evaluation:
    """Predict the raw rows and judge the predictions. The loss is that of the task, over all rows.

    `features` are those of the model's backbone, where they are kept: they need not be computed again.
    """
    x, y = take(data.x, rows), data.y[rows]
    outputs = outputs_on(model, data, rows, device, features)
    encoded = as_fields({"y": model.task.encode(y)})["y"][:]
    return Evaluation(
        rows,
        y,
        outputs,
        metrics=_figures(model.task, outputs, encoded),
        baselines={
            name: _figures(task, guess, encoded) for name, (task, guess) in model.task.baselines(x).items()
        },
    )


def outputs_on(
    model: SavedModel, data: Data, rows: np.ndarray, device: torch.device | str, features: Features | None
) -> Tensor:
    """The model's outputs for some rows, out of their features where those are kept."""
    if features is None:
        return model.outputs(take(data.x, rows), device)
    return model.outputs_of({"features": features.read(rows)}, device)


def _figures(task: Task, outputs: Tensor, y: Tensor) -> dict[str, float]:
    scores = Scores(task)
    scores.update(outputs, y)
    return scores.compute()


def figures(evaluations: Mapping[Part, Evaluation]) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics, and the baselines under the same names: `test/accuracy`; one that has a name, `naive/test/mse`."""
    metrics: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for part, evaluation in evaluations.items():
        metrics |= {f"{part}/{name}": value for name, value in evaluation.metrics.items()}
        for guess, worth in evaluation.baselines.items():
            prefix = f"{guess}/{part}" if guess else part
            baselines |= {f"{prefix}/{name}": value for name, value in worth.items()}
    return metrics, baselines


def named_baselines(task: Task, evaluations: Mapping[Part, Evaluation]) -> list[str]:
    """A sentence for each baseline that has a name, on the last part; the one without stands beside the figures."""
    if not evaluations:
        return []
    part, evaluation = list(evaluations.items())[-1]
    words, told = task.baseline_descriptions(), []
    for guess, worth in evaluation.baselines.items():
        if guess:
            main = [name for name in worth if name != "loss"][:_TOLD]
            figures = ", ".join(f"{part}/{name} {number(worth[name])}" for name in main)
            repeated = f", which repeats {words[guess]}," if guess in words else ""
            told.append(f"The {guess} baseline{repeated} has {figures}.")
    if told and "" in words:
        told.insert(0, f"The baseline in the table repeats {words['']}.")
    return [" ".join(told)] if told else []


def save_outputs(run_dir: Path, evaluation: Evaluation) -> None:
    """Keep the outputs themselves (`outputs.npz`): from them a parent draws the pictures of all rows."""
    np.savez_compressed(run_dir / OUTPUTS, rows=evaluation.rows, outputs=evaluation.outputs.numpy())


def load_outputs(run_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Row indices `(N,)` and outputs `(N, ...)` of a fold's held-out rows."""
    with np.load(run_dir / OUTPUTS, allow_pickle=False) as parts:
        return parts["rows"], parts["outputs"]


def choose_device(accelerator: str) -> torch.device:
    """The device that a trainer with this `accelerator` would use."""
    found = torch.accelerator.current_accelerator() if accelerator != "cpu" else None
    return found if found is not None and torch.accelerator.is_available() else torch.device("cpu")


def predictions_table(model: SavedModel, evaluations: Mapping[Part, Evaluation]) -> pd.DataFrame:
    """`predictions.parquet`: row, split, target, prediction and what else the task gives.

    One line a row; of a forecast, one line a step of each row.
    """
    tables = []
    for part, evaluation in evaluations.items():
        targets, predictions = model.task.targets(evaluation.y), model.task.predictions(evaluation.outputs)
        lines = len(predictions) // max(1, len(evaluation.rows))
        place = pd.DataFrame({"row": np.repeat(evaluation.rows, lines), "split": part})
        tables.append(pd.concat([place, targets, predictions], axis=1))
    return pd.concat(tables, ignore_index=True)
