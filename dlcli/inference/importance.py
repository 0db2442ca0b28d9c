"""Permutation importance and partial dependence of a table's columns, on rows that the model was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import stdtrit
from torch import Tensor

from dlcli.inference.saved_model import SavedModel
from dlcli.tasks.base import Task

_POINTS, _ROWS = 10, 300  # points of a curve of partial dependence, and rows that are averaged


@dataclass(frozen=True)
class Importance:
    """The permutation importance of a column, or of a group of columns.

    Attributes:
        columns: The columns, which are permuted together.
        drop: Mean increase of the loss by the permutation; positive if the model uses the columns.
        low: Lower end of its 95 % interval.
        high: Upper end of the interval.
    """

    columns: tuple[str, ...]
    drop: float
    low: float
    high: float


@dataclass(frozen=True)
class Dependence:
    """The partial dependence: mean predictions if all rows had the same value in a column (Friedman, 2001).

    Attributes:
        column: The column.
        values: The values that are set.
        predictions: Column of the predictions to its mean for each value.
    """

    column: str
    values: tuple[str, ...]
    predictions: dict[str, tuple[float, ...]]


def importances(
    parts: Sequence[tuple[Callable[[pd.DataFrame], Tensor], pd.DataFrame]],
    score: Callable[[Tensor, np.ndarray], float],
    groups: Sequence[Sequence[str]],
    numbers: np.ndarray,
    *,
    repeats: int,
    seed: int = 0,
) -> list[Importance]:
    """Return the permutation importance of groups of columns, the largest first.

    Each repetition draws rows with replacement, each with all models that predict it, and permutes the columns of a
    group together among the rows of a part. The interval (Student's t over repetitions) therefore covers the choice of
    rows and of permutations (Breiman, 2001; Fisher, Rudin and Dominici, 2019).

    Args:
        parts: For each model, a function from rows to its outputs, and rows that it was not trained on. Positions count
            the rows of all parts in this order.
        score: Returns the metric, of which less is better, of outputs at positions.
        groups: Names of the columns of each group.
        numbers: Row number at each position, `(N,)`; a row that several models predict has several positions.
        repeats: Number of repetitions, at least 2.
        seed: Seed of permutations and draws.
    """
    random = np.random.default_rng(seed)
    base = torch.cat([outputs_of(x) for outputs_of, x in parts])
    order, starts, counts = _positions(numbers)
    found = []
    for group in groups:
        names, drops = list(group), []
        for _ in range(repeats):
            outputs = []
            for outputs_of, x in parts:
                mixed_rows = random.permutation(len(x))
                mixed = x.copy()
                for name in names:
                    mixed[name] = x[name].iloc[mixed_rows].set_axis(x.index)
                mixed.attrs = x.attrs
                outputs.append(outputs_of(mixed))
            picked = random.integers(0, len(counts), len(counts))
            drawn = order[
                np.concatenate([np.arange(starts[row], starts[row] + counts[row]) for row in picked])
            ]
            permuted, own = torch.cat(outputs)[drawn], base[drawn]
            drops.append(score(permuted, drawn) - score(own, drawn))
        mean, reach = float(np.mean(drops)), float(stdtrit(repeats - 1, 0.975)) * float(np.std(drops, ddof=1))
        found.append(Importance(tuple(names), mean, mean - reach, mean + reach))
    return sorted(found, key=lambda one: -one.drop)


def _positions(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions sorted by row, and for each distinct row the start and the number of its positions."""
    _, starts, counts = np.unique(np.sort(numbers), return_index=True, return_counts=True)
    return np.argsort(numbers, kind="stable"), starts, counts


def dependence(
    parts: Sequence[tuple[SavedModel, pd.DataFrame]],
    column: str,
    task: Task,
    device: torch.device | str = "cpu",
) -> Dependence:
    """Return the partial dependence of predictions on a column.

    It is computed at ten quantiles of a numeric column, or at the ten most frequent words of another, on at most 300
    rows. Each model predicts the rows that it was not trained on; the mean is over all rows.

    Args:
        parts: Models, each with rows that it was not trained on.
        column: The column.
        task: The task in whose units the models predict, that of the ensemble.
        device: Device of the forward passes.
    """
    share = min(1.0, _ROWS / sum(len(x) for _, x in parts))
    few = [
        (model, x.iloc[np.linspace(0, len(x) - 1, max(1, round(share * len(x)))).astype(int)])
        for model, x in parts
    ]
    values_of_all = pd.concat([x[column] for _, x in parts])
    known = values_of_all.dropna()
    if pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known):
        values = np.unique(
            np.quantile(known.to_numpy(float), np.linspace(0.05, 0.95, _POINTS), method="nearest")
        )
        points = [known.dtype.type(value) for value in values]
    else:
        points = list(known.value_counts().index[:_POINTS])
    means: dict[str, list[float]] = {}
    for point in points:
        tables = []
        for (model, some), (_, x) in zip(few, parts, strict=True):
            changed = some.copy()
            changed[column] = pd.Series([point] * len(some), index=some.index, dtype=x[column].dtype)
            changed.attrs = x.attrs
            tables.append(task.predictions(task.converted(model.outputs(changed, device), model.task)))
        table = pd.concat(tables)
        for name in table.columns:
            if pd.api.types.is_numeric_dtype(table[name]):
                means.setdefault(str(name), []).append(float(table[name].mean()))
    shown = tuple(
        f"{point:.4g}" if isinstance(point, float | np.floating) else str(point) for point in points
    )
    return Dependence(column, shown, {name: tuple(values) for name, values in means.items()})
