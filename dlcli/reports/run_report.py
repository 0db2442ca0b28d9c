"""Write a run's plots, predictions and metrics by class after training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dlcli.config.solver_names import solves_only_head
from dlcli.config.target_kinds import linear_model
from dlcli.datasets.data import Data
from dlcli.inference.evaluation import Evaluation, predictions_table
from dlcli.inference.generation import record_samples
from dlcli.inference.predictions_file import write_predictions
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.diagnosis import diagnose
from dlcli.reports.missing_pictures import ALL_PLOTS, MissingPictures
from dlcli.sanitize.escapes import visible_name
from dlcli.splits.split import Part, name_of_part
from dlcli.tasks.base import Task
from dlcli.tasks.task_metric import TaskMetric
from dlcli.training.fit import FitResult


def write_report(
    run_dir: Path,
    model: SavedModel,
    data: Data,
    fitted: FitResult,
    evaluations: Mapping[Part, Evaluation],
    config: Mapping[str, Any],
    *,
    pictures: MissingPictures | None,
    run_name: str = "",
    is_fold: bool = False,
    train: np.ndarray | None = None,
) -> str:
    """Write `plots/`, `predictions.parquet`, `breakdown.csv`, and for a language model `samples.txt`.

    Args:
        run_dir: The run's folder.
        model: The trained model.
        data: Rows of the dataset.
        fitted: The result of training.
        evaluations: Part to the model's evaluation on its rows.
        config: The configuration of the run.
        pictures: Receives the plots that cannot be drawn. None writes no plots, and no breakdown.
        run_name: The run's name, for the plots.
        is_fold: Whether the run is a fold, whose test rows are held-out rows.
        train: Numbers of the training rows, for the path of the weights.

    Returns:
        The sentence about over- and underfitting.
    """
    history: dict[str, list[tuple[int, float]]] = {}
    for epoch, metrics in enumerate(fitted.history):
        for name, value in metrics.items():
            history.setdefault(name, []).append((epoch, value))
    if evaluations:
        write_predictions(run_dir, predictions_table(model, evaluations, is_fold=is_fold))
    constant = evaluations["val"].baselines.get("", {}) if "val" in evaluations else {}
    baseline, linear = constant.get("loss"), linear_model(getattr(model.task, "kind", ""))
    max_epochs, solved_head = config["trainer"].get("max_epochs"), solves_only_head(config["finetune"])
    diagnosis = diagnose(history, max_epochs, baseline, linear=linear, solved_head=solved_head)
    if pictures is None:
        return diagnosis
    with pictures.noting(ALL_PLOTS):
        # A fold or a trial has no plots, and its worker does without matplotlib.
        from dlcli.reports import run_plots

        plots, about = run_dir / "plots", f"{run_name} · {data.name}" if run_name else data.name
        plots.mkdir(exist_ok=True)
        draw = run_plots.RunPlots(plots, about, pictures)
        best, monitor = fitted.best_epoch, config["monitor"]
        draw.training(history, best, monitor, max_epochs, baseline, linear=linear, solved_head=solved_head)
        if fitted.path is not None and train is not None:
            draw.path(model, data, train, fitted.path, fitted.device)
        if evaluations:
            draw.rows(model, data, evaluations, fitted.device, is_fold=is_fold)
    if evaluations:
        record_samples(run_dir, model, fitted.device)
        _write_breakdown(run_dir / "breakdown.csv", model, evaluations, is_fold=is_fold)
    return diagnosis


def _write_breakdown(
    file: Path, model: SavedModel, evaluations: Mapping[Part, Evaluation], *, is_fold: bool
) -> None:
    tables = []
    for part, evaluation in evaluations.items():
        table = model.task.breakdown(evaluation.outputs, evaluation.y)
        if table is not None:
            _add_values_of_each(table, model.task, evaluation)
            table.insert(0, "split", name_of_part(part, is_fold))
            tables.append(table)
    if tables:
        table = pd.concat(tables).rename(columns=visible_name)
        texts = table.select_dtypes(exclude=["number", "bool"])
        table[texts.columns] = texts.map(lambda cell: visible_name(cell) if isinstance(cell, str) else cell)
        table.to_csv(file, index=False)


def _add_values_of_each(table: pd.DataFrame, task: Task, evaluation: Evaluation) -> None:
    """Add a column for each chosen metric that has a value per class or target, such as one with `average: none`."""
    metrics = {name: metric for name, metric in task.metrics().items() if isinstance(metric, TaskMetric)}
    lines = len(getattr(task, "classes", getattr(task, "names", ())))
    if not metrics or "step" in table:
        return
    outputs, y = evaluation.outputs.float(), torch.as_tensor(task.encode(evaluation.y))
    inputs, named = task.metric_inputs(outputs, y), task.metric_kwargs(outputs, y)
    for name, metric in metrics.items():
        metric.update(*inputs, **named)
        values = metric.each()
        if 1 < values.numel() == lines and name not in table:
            table[name] = pd.Series(values.flatten().tolist())  # the lines of means have none
