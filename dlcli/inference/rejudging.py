"""A run's predictions judged a second time: what any choice of its test rows is worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchmetrics import MetricCollection

from dlcli.errors import CorruptRun, first_line
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_file
from dlcli.files.unfinished import unfinished
from dlcli.inference.saved_model import load_task
from dlcli.tracking.digests import MODEL_MANIFEST, PREDICTIONS_FILE, check_recorded
from dlcli.tracking.ledger import Ledger


def held_out(run_dir: Path) -> pd.DataFrame:
    """Predictions of a run's test rows, in the order of the rows.

    Raises:
        CorruptRun: they are missing or damaged.
    """
    return read_predictions(run_dir).sort_values("row", kind="stable")


def read_predictions(run_dir: Path) -> pd.DataFrame:
    """The same, in the order of the file."""
    check_recorded(Ledger.load(run_dir), PREDICTIONS_FILE)
    file = run_dir / PREDICTIONS_FILE
    hint = "Copy the folder anew, or train again."
    if not is_file(file):
        raise CorruptRun("the run's predictions are missing", str(file), hint)
    try:
        table = pd.read_parquet(file)
        if "row" not in table:
            raise ValueError("they have no column row")
        return table[table["split"] == "test"]
    except Exception as error:  # Arrow fails in as many ways as a file can be damaged
        raise CorruptRun(
            f"the run's predictions cannot be read: {first_line(error)}", str(file), hint
        ) from error


def write_predictions(run_dir: Path, table: pd.DataFrame) -> None:
    """Write a run's predictions: the old file or the whole new one is there, whatever happens meanwhile.

    Raises:
        DiskFull: there is no room for them.
        InputError: the system refuses to write them.
    """
    file = run_dir / PREDICTIONS_FILE
    with write_errors(file), unfinished(file) as partial:
        table.to_parquet(partial, index=False)
        partial.replace(file)


def figure_of_rows(run_dir: Path, metric: str) -> Callable[[np.ndarray], float] | None:
    """A metric as a function of positions among the test rows, by the run's own task (its threshold and averages).

    None where predictions do not say it: the loss, forecasts, tasks that are not dlcli's.
    """
    check_recorded(Ledger.load(run_dir), MODEL_MANIFEST)
    try:
        task = load_task(run_dir / "model")
    except CorruptRun:
        return None
    measure = task.metrics().get(metric)
    read = task.metric_inputs_of(held_out(run_dir)) if measure else None
    if measure is None or read is None:
        return None
    predicted, y, named = read
    judge = MetricCollection({metric: measure})  # which hands each metric what it asks for by name

    @torch.no_grad()
    def figure(positions: np.ndarray) -> float:
        drawn = torch.from_numpy(positions)
        judge.reset()
        judge.update(predicted[drawn], y[drawn], **{name: values[drawn] for name, values in named.items()})
        return float(judge.compute()[metric].double().mean())

    return figure
