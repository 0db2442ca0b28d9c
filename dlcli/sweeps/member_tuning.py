"""Tune the folds of a candidate for an ensemble together, on the rows that they hold out, as for a run's folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.inference.saved_model import SavedModel
from dlcli.sweeps.ensemble_candidates import EnsembleCandidate

_PLAIN = {"calibrated_by": "none", "calibration": [], "calibration_scores": [0.0] * 4}


def tune_members(
    candidate: EnsembleCandidate,
    models: Sequence[SavedModel],
    data: Data,
    device: torch.device | str,
) -> tuple[list[SavedModel], dict[str, Any]]:
    """Return the models of a candidate with the facts that its task has tuned on held-out rows, and these facts.

    The facts (a calibration, a threshold) take the place of those that each fold has tuned on its own validation rows.
    A candidate with a single model keeps that model's own, which are tuned on the rows of the selection.
    """
    facts = _tuned(candidate, models, data, device) if len(models) > 1 else {}
    return [model.retuned(facts) for model in models], facts


def _tuned(
    candidate: EnsembleCandidate, models: Sequence[SavedModel], data: Data, device: torch.device | str
) -> dict[str, Any]:
    task = models[0].task
    if not (task.keeps_outputs and task.tunes):
        return {}
    found: dict[int, Tensor] = {}
    for model, rows in zip(models, candidate.held_out(len(data)), strict=True):
        plain = model if model.task.calibration() is None else model.retuned(_PLAIN)
        outputs = plain.outputs(take(data.x, rows), device) if len(rows) else ()
        for row, values in zip(rows.tolist(), outputs, strict=True):
            found.setdefault(row, values)
    numbers = np.array(sorted(found), np.int64)
    return task.tune(torch.stack([found[row] for row in numbers.tolist()]), data.y[numbers])


def told_of_tuning(
    chosen: Sequence[tuple[EnsembleCandidate, Sequence[SavedModel], dict[str, Any]]],
) -> list[str]:
    """Return a sentence on what the task has tuned for each selected candidate."""
    return [
        f"{one.name}: {models[0].task.tuned()}, found on rows that its folds held out."
        for one, models, facts in chosen
        if facts
    ]
