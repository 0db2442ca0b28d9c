"""Tune the models that predict in place of a cross-validation's folds, on the rows that the folds hold out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dlcli.config.build import build
from dlcli.cross_validation.estimation import Fold
from dlcli.datasets.data import Data
from dlcli.inference.evaluation import load_outputs
from dlcli.inference.measured_coverage import Measured, measured_on
from dlcli.inference.model_description import read_task_facts
from dlcli.inference.predictions_file import all_predictions, read_predictions
from dlcli.inference.saved_model import load_task
from dlcli.splits.split import shares_rows
from dlcli.tasks.base import Task
from dlcli.tasks.calibration import apply_calibration


def tuned_on_folds(
    folds: Sequence[Fold], run_dirs: Sequence[Path], task: Task, data: Data, final_test: np.ndarray
) -> dict[str, Any]:
    """Return the facts that a task tunes (a calibration, thresholds) for the folds' mean and for a refitted model.

    They are fitted on the outputs for each row by the model of the first fold that holds it out, before that fold's own
    calibration, as in scikit-learn's `CalibratedClassifierCV(ensemble=False)`. A calibration is evaluated by the log
    loss on rows that it was not fitted on. The folds' own metrics do not depend on it. Final test rows are not used.

    Args:
        folds: The folds with all training rows.
        run_dirs: Folders of their runs.
        task: The task of any of them.
        data: Rows of the dataset.
        final_test: Numbers of the final test rows.
    """
    if not (task.keeps_outputs and task.tunes):
        return {}
    rows, outputs = _held_out_outputs(folds, run_dirs, final_test)
    return task.tune(torch.from_numpy(outputs), data.y[rows]) if len(rows) else {}


def _held_out_outputs(
    folds: Sequence[Fold], run_dirs: Sequence[Path], final_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers `(N,)` and uncalibrated outputs `(N, ...)`, each of the first fold that holds the row out."""
    found: dict[int, np.ndarray] = {}
    for fold, run_dir in zip(folds, run_dirs, strict=True):
        if not len(fold.split.test) or shares_rows(fold.split.test, final_test):
            continue
        rows, outputs = load_outputs(run_dir, fold.split.test, uncalibrated=True)
        for row, values in zip(rows.tolist(), outputs, strict=True):
            found.setdefault(row, values)
    numbers = sorted(found)
    return np.array(numbers, np.int64), np.stack([found[row] for row in numbers]) if found else np.empty(0)


def coverage_of_holdout_refit(first: Path, run_dir: Path) -> Measured:
    """Return the coverage of the final test rows by sets or intervals calibrated on validation rows, and a sentence.

    Args:
        first: Folder of the run before the refit, which was not trained on the validation rows.
        run_dir: Folder of the refitted model's run.
    """
    task = load_task(run_dir / "model", trust=True)
    if task.coverage is None:
        return {}, []
    table = all_predictions(first)
    return measured_on(task, table[table["split"] == "val"], read_predictions(run_dir), "validation rows")


def coverage_of_refit(
    folds: Sequence[Fold], run_dirs: Sequence[Path], data: Data, final_test: np.ndarray, run_dir: Path
) -> Measured:
    """Return the coverage of the final test rows by sets or intervals calibrated on held-out rows, and a sentence.

    Args:
        folds: The folds with all training rows.
        run_dirs: Folders of their runs.
        data: Rows of the dataset.
        final_test: Numbers of the final test rows.
        run_dir: Folder of the refitted model's run.
    """
    task = load_task(run_dir / "model", trust=True)
    if task.coverage is None or not len(final_test):
        return {}, []
    facts = read_task_facts(run_dir / "model")
    if "calibrated_by" in facts:  # also where none is best: single folds may be calibrated
        rows, outputs = _held_out_outputs(folds, run_dirs, final_test)
        held_out = task.judged(apply_calibration(facts, torch.from_numpy(outputs)), data.y[rows])
    else:
        held_out = pd.concat([read_predictions(folder) for folder in run_dirs], ignore_index=True)
        held_out = held_out.drop_duplicates([name for name in ("row", "step") if name in held_out])
    return measured_on(task, held_out, read_predictions(run_dir), "rows that folds held out")


def tuning_sentence(
    section: Mapping[str, Any], run_dir: Path, tuned: Mapping[str, Any], *, refits: bool
) -> list[str]:
    """Return the sentence about the result of `tuned_on_folds`, as a list of at most one item.

    Args:
        section: The section `task` of the configuration.
        run_dir: Folder of a fold's run.
        tuned: The result.
        refits: Whether a final model is trained.
    """
    if not tuned:
        return []
    task: Task = build(section, where="task", **{**read_task_facts(run_dir / "model"), **tuned})
    of = "the final model" if refits else "the mean of the folds' models"
    return [f"For {of}, on rows that the folds held out: {task.tuned()}."]
