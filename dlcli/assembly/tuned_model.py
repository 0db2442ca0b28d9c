"""Reload a trained model from its files, and tune its task on the validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dlcli.assembly.feature_cache import cached_features
from dlcli.datasets.data import Data
from dlcli.gate.fitted_objects import LastFitted
from dlcli.inference.evaluation import kept_on
from dlcli.inference.model_description import read_task_facts
from dlcli.inference.saved_model import SavedModel, load_model
from dlcli.inference.write_model import add_task_facts
from dlcli.splits.split import Split
from dlcli.tasks.base import Task
from dlcli.training.features import Features

# Names of the facts that tasks of rows tune.
_TUNED = ("calibrated_by", "calibration", "calibration_scores", "tuned_threshold", "tuned_thresholds")

# Of the jobs of this process, which often share a preprocessing.
LAST_FITTED = LastFitted()


def reload_tuned(
    config: Mapping[str, Any],
    run_dir: Path,
    data: Data,
    split: Split,
    device: torch.device,
    given: Mapping[str, Any] | None = None,
) -> tuple[SavedModel, Features | None, dict[str, Any]]:
    """Return the saved model, its cached features, and the facts that its task has tuned.

    They are tuned on the validation rows, unless they are given.
    """
    folder = run_dir / "model"
    model = load_model(folder, trust=True, last_fitted=LAST_FITTED)
    features = cached_features(config, model.network, model.preprocessing, data, run_dir.parents[2], device)
    if given:
        tuned = dict(given)
    elif not len(split.val) or not model.task.tunes:
        return model, features, {}
    else:
        tuned = model.task.tune(kept_on(model, data, split.val, device, features)[0], data.y[split.val])
    if tuned:
        add_task_facts(folder, tuned)
        model = load_model(folder, trust=True, last_fitted=LAST_FITTED)
    return model, features, tuned


def describe_tuning(task: Task, tuned: Mapping[str, Any], split: Split, *, given: bool) -> list[str]:
    """Return a sentence on the facts that a task has tuned and on the rows, as a list of at most one item."""
    rows = "rows that folds held out" if given else f"the {len(split.val):,} validation rows"
    return [f"{task.tuned()}, found on {rows}"] if tuned else []


def tuned_facts(folder: Path) -> dict[str, Any]:
    """Return the facts that the task of a model folder has tuned."""
    return {name: fact for name, fact in read_task_facts(folder).items() if name in _TUNED}
