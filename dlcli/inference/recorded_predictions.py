"""Compute metrics on subsets of a run's test rows from its recorded predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dlcli.errors import CorruptRun
from dlcli.inference.predictions_file import held_out
from dlcli.inference.saved_model import load_task
from dlcli.tasks.metric import keywords
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger


def figure_of_rows(run_dir: Path, metric: str) -> Callable[[np.ndarray], float] | None:
    """Return a function that computes a metric, as the run's task defines it, on positions among the test rows.

    Return None if the metric cannot be computed from predictions: for the loss, forecasts and user-defined tasks.
    """
    ledger = Ledger.load(run_dir)
    # An ensemble, whose predictions also have columns of its members.
    if members := ledger.result.get("members", ()):
        ledger = Ledger.load(ledger.sibling(str(members[0]["run_id"])))
    check_recorded(ledger, MODEL_MANIFEST)
    try:
        task = load_task(ledger.run_dir / "model")
    except CorruptRun:
        return None
    measure = task.metrics().get(metric)
    read = task.metric_inputs_of(held_out(run_dir)) if measure else None
    if measure is None or read is None:
        return None
    predicted, y, named = read
    named = keywords(measure, named)

    @torch.no_grad()
    def figure(positions: np.ndarray) -> float:
        drawn = torch.from_numpy(positions)
        measure.reset()
        measure.update(predicted[drawn], y[drawn], **{name: values[drawn] for name, values in named.items()})
        return float(measure.compute().double().mean())

    return figure
