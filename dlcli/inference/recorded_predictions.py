"""Read and write a run's recorded predictions, and compute metrics on subsets of its test rows from them."""

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
    """Return the predictions of a run's test rows, sorted by row.

    Raises:
        CorruptRun: The predictions are missing or damaged.
    """
    return read_predictions(run_dir).sort_values("row", kind="stable")


def read_predictions(run_dir: Path) -> pd.DataFrame:
    """Return the predictions of a run's test rows, in the order of the file.

    Raises:
        CorruptRun: The predictions are missing or damaged.
    """
    check_recorded(Ledger.load(run_dir), PREDICTIONS_FILE)
    file = run_dir / PREDICTIONS_FILE
    hint = "Copy the folder again, or repeat the training."
    if not is_file(file):
        raise CorruptRun("the run's predictions are missing", str(file), hint)
    try:
        table = pd.read_parquet(file)
        if "row" not in table:
            raise ValueError("the column row is missing")
        return table[table["split"] == "test"]
    except Exception as error:  # Arrow raises many types of errors for damaged files
        raise CorruptRun(
            f"the run's predictions cannot be read: {first_line(error)}", str(file), hint
        ) from error


def write_predictions(run_dir: Path, table: pd.DataFrame) -> None:
    """Write a run's predictions atomically: an interruption leaves the old file.

    Raises:
        DiskFull: The disk is full.
        InputError: The file cannot be written.
    """
    file = run_dir / PREDICTIONS_FILE
    with write_errors(file), unfinished(file) as partial:
        table.to_parquet(partial, index=False)
        partial.replace(file)


def figure_of_rows(run_dir: Path, metric: str) -> Callable[[np.ndarray], float] | None:
    """Return a function that computes a metric, as the run's task defines it, on positions among the test rows.

    None if the metric cannot be computed from predictions: the loss, forecasts, tasks that are not part of dlcli.
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
    collection = MetricCollection(
        {metric: measure}
    )  # passes each metric the keyword arguments that it accepts

    @torch.no_grad()
    def figure(positions: np.ndarray) -> float:
        drawn = torch.from_numpy(positions)
        collection.reset()
        collection.update(
            predicted[drawn], y[drawn], **{name: values[drawn] for name, values in named.items()}
        )
        return float(collection.compute()[metric].double().mean())

    return figure
