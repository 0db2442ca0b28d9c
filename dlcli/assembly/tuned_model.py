"""Reload a trained model from its files, and tune its task on the validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dlcli.assembly.feature_cache import cached_features
from dlcli.datasets.data import Data
from dlcli.inference.evaluation import kept_on
from dlcli.inference.saved_model import SavedModel, load_model
from dlcli.inference.write_model import add_task_facts
from dlcli.splits.split import Split
from dlcli.tasks.base import Task
from dlcli.training.features import Features


def reload_tuned(
    config: Mapping[str, Any], run_dir: Path, data: Data, split: Split, device: torch.device
) -> tuple[SavedModel, Features | None, dict[str, Any]]:
    """Return the saved model, its cached features, and the facts that its task tuned on the validation rows."""
    folder = run_dir / "model"
    model = load_model(folder, trust=True)
    features = cached_features(config, model.network, model.preprocessing, data, run_dir.parents[2], device)
    if not len(split.val) or not _tunes(model.task):
        return model, features, {}
    tuned = model.task.tune(kept_on(model, data, split.val, device, features)[0], data.y[split.val])
    if tuned:
        add_task_facts(folder, tuned)
        model = load_model(folder, trust=True)
    return model, features, tuned


def _tunes(task: Task) -> bool:
    """Return whether the task's class tunes anything; otherwise a pass over the validation rows is saved."""
    return type(task).tune is not Task.tune
