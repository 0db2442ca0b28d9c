"""Figures of a saved model on some rows: what `train` records and `eval` repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.inference.saved_model import SavedModel
from dlcli.splits.split import Part
from dlcli.training.scores import Scores

OUTPUTS = "outputs.npz"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's outputs on some rows, and what they are worth."""

    rows: np.ndarray
    y: np.ndarray
    outputs: Tensor
    metrics: dict[str, float]


def evaluate(
    model: SavedModel, data: Data, rows: np.ndarray, device: torch.device | str = "cpu"
) -> Evaluation:
    """Predict the raw rows and judge the predictions. The loss is that of the task, over all rows."""
    outputs = model.outputs(take(data.x, rows), device)
    y = data.y[rows]
    scores = Scores(model.task)
    scores.update(outputs, torch.from_numpy(y))
    return Evaluation(rows, y, outputs, scores.compute())


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
    """`predictions.parquet`: row, split, target, prediction and what else the task gives, one line a row."""
    tables = []
    for part, evaluation in evaluations.items():
        table = model.task.predictions(evaluation.outputs)
        table.insert(0, "row", evaluation.rows)
        table.insert(1, "split", part)
        table.insert(2, "target", model.task.targets(evaluation.y))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
