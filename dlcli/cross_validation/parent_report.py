"""Write the report of a cross-validation's parent run: table of folds, predictions of all held-out rows, plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dlcli.cross_validation.estimation import Estimation, Fold
from dlcli.cross_validation.fold_summary import Summary
from dlcli.cross_validation.size_curve import SizePoint, size_table
from dlcli.errors import CorruptRun
from dlcli.inference.evaluation import OUTPUTS, load_outputs
from dlcli.inference.forward_passes import joined
from dlcli.inference.predictions_file import KeptPredictions, write_predictions
from dlcli.inference.saved_model import load_task
from dlcli.reports.missing_pictures import ALL_PLOTS, MissingPictures
from dlcli.result import Result
from dlcli.runs.folder import recorded_epochs
from dlcli.splits.split import HELD_OUT, name_of_part
from dlcli.tasks.base import Task
from dlcli.tracking.best_epoch import best_epoch
from dlcli.tracking.ledger import Ledger, atomic_write


def write_parent_report(
    run_dir: Path,
    estimation: Estimation,
    folds: Sequence[Fold],
    results: Sequence[Result],
    summary: Summary,
    metric: str,
    task: Task,
    missing: MissingPictures,
    predictions: KeptPredictions,
) -> None:
    """Write `folds.csv`, `predictions.parquet` and `plots/`; plots that cannot be drawn are added to `missing`."""
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    table = folds_table(folds, results)
    atomic_write(run_dir / "folds.csv", table.to_csv(index=False))
    write_predictions(run_dir, out_of_fold(folds, results, predictions))
    histories = [recorded_epochs(result.run_dir) for result in results]
    about = f"{Ledger.load(run_dir).run_name} · {estimation.data.name}"
    # Only the first seed is plotted, so that each held-out row appears once.
    once = [result for fold, result in zip(folds, results, strict=True) if fold.repeat == 0]
    rows = [fold.split.test for fold in folds if fold.repeat == 0]
    outputs, held_out = _pooled_outputs(once, rows, task)
    with missing.noting(ALL_PLOTS):
        # Commands that plan folds or trials need no matplotlib before.
        from dlcli.reports.folds import fold_curves, fold_figures
        from dlcli.reports.run_plots import write_of_task
        from dlcli.reports.style import save

        with missing.noting("learning_curves"):
            save(fold_curves(histories, metric), plots / "learning_curves.png", about)
        about = f"{about} · held-out rows"
        with missing.noting("folds"):
            figures = fold_figures(table, summary.intervals, metric, summary.line(metric))
            save(figures, plots / "folds.png", about)
        write_of_task(task.pictures(outputs, estimation.data.y[held_out]), plots, about, missing)


def write_size_curve(
    run_dir: Path, estimation: Estimation, points: Sequence[SizePoint], metric: str, missing: MissingPictures
) -> None:
    """Write `sizes.csv` and `plots/sizes.png`: the metrics by the number of training rows.

    If the plot cannot be drawn, it is added to `missing`.
    """
    atomic_write(run_dir / "sizes.csv", size_table(points).to_csv(index=False))
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    about = f"{Ledger.load(run_dir).run_name} · {estimation.data.name} · held-out rows"
    curves = {
        name: [(point.rows, point.summary.intervals[name]) for point in points]
        for name in dict.fromkeys([metric, "loss"])
        if all(name in point.summary.intervals for point in points)
    }
    with missing.noting("sizes"):
        from dlcli.reports.folds import size_curves
        from dlcli.reports.style import save

        save(size_curves(curves), plots / "sizes.png", about)


def folds_table(folds: Sequence[Fold], results: Sequence[Result]) -> pd.DataFrame:
    """Return a table with one line per training run: fold, seed, chosen settings, rows, best epoch and metrics.

    Its columns have the names of the parts: `held-out` counts rows, `held-out/accuracy` is the metric of the run whose
    key is `test/accuracy`. Epochs count from 1.
    """
    lines = []
    for fold, result in zip(folds, results, strict=True):
        best = best_epoch(Ledger.load(result.run_dir).metrics)
        place = {"fold": fold.number, "repeat": fold.repeat, "run_id": result.run_id}
        chosen = {
            key: str(value) if isinstance(value, list | dict) else value
            for key, value in result.params.items()
        }
        rows = {name_of_part(part, is_fold=True): count for part, count in fold.split.sizes.items()}
        metrics = {_with_name(key): value for key, value in result.values.items()}
        lines.append({**place, **chosen, **rows, "best_epoch": best, **metrics})
    return pd.DataFrame(lines)


def _with_name(key: str) -> str:
    part, _, metric = key.partition("/")
    return f"{HELD_OUT}/{metric}" if part == "test" else key


def out_of_fold(
    folds: Sequence[Fold], results: Sequence[Result], predictions: KeptPredictions
) -> pd.DataFrame:
    """Return the predictions of held-out rows, with columns `fold` and `repeat` for the model that made them."""
    tables = []
    for fold, result in zip(folds, results, strict=True):
        table = predictions.read(result.run_dir)
        table.insert(0, "fold", fold.number)
        table.insert(1, "repeat", fold.repeat)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _pooled_outputs(
    results: Sequence[Result], held_out: Sequence[np.ndarray], task: Task
) -> tuple[torch.Tensor, np.ndarray]:
    """Return the outputs of the held-out rows of all folds as those of `task`, and the numbers of these rows.

    The folds' own tasks differ, for example in the mean and deviation of their training targets.
    """
    folds = [pair for pair in zip(results, held_out, strict=True) if len(pair[0].values)]
    parts = [load_outputs(result.run_dir, rows) for result, rows in folds]
    for (result, _), (_, found) in zip(folds, parts, strict=True):
        if found.shape[1:] != parts[0][1].shape[1:] and not task.kept_differs:
            where = str(result.run_dir / OUTPUTS)
            raise CorruptRun(
                "the fold's outputs have another shape than those of the first fold", where, "Train again."
            )
    tasks = [load_task(result.run_dir / "model", trust=True) for result, _ in folds]
    converted = [
        task.converted(torch.from_numpy(outputs), own) for (_, outputs), own in zip(parts, tasks, strict=True)
    ]
    outputs = joined(converted, task.padding)
    return outputs, np.concatenate([rows for rows, _ in parts])
