"""The profile of some data, and warnings of what ruins results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data, take
from dlcli.datasets.tables.columns import kind_of
from dlcli.errors import Problem
from dlcli.profiling.columns import ColumnProfile, describe_columns
from dlcli.profiling.leaks import giveaways, repeated_rows
from dlcli.splits.split import Split

# Rows that single columns are judged by: more would only take longer.
_ROWS = 100_000

# How many times the rarest class goes into the commonest one where the target is heavily imbalanced.
_IMBALANCED = 20


@dataclass(frozen=True)
class Profile:
    """What the data holds.

    Attributes:
        name: the data's.
        rows: how many.
        classes: rows of each class, or with each label.
        targets: the targets' ranges, for regression.
        columns: a table's.
        warnings: what ruins results; nothing is refused for it.
    """

    name: str
    rows: int
    classes: dict[str, int]
    targets: tuple[ColumnProfile, ...]
    columns: tuple[ColumnProfile, ...]
    warnings: tuple[Problem, ...]


def profile(data: Data, splits: Sequence[Split]) -> Profile:
    """Look at the data; `splits` are those that it is trained and judged on."""
    table = data.x if data.kind == "table" and isinstance(data.x, pd.DataFrame) else pd.DataFrame()
    y = data.y.reshape(len(data), -1) if data.targets and data.kind == "table" else np.empty((0, 0))
    return Profile(
        data.name,
        len(data),
        _classes(data),
        describe_columns(pd.DataFrame(y, columns=list(data.targets))) if y.size else (),
        describe_columns(table),
        tuple(find_warnings(data, splits)),
    )


def find_warnings(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """What of the data ruins results, the worst first. Single columns are judged by `_ROWS` rows at most."""
    if data.kind == "table" and isinstance(data.x, pd.DataFrame):
        rows = np.arange(0, len(data), -(-len(data) // _ROWS))
        some = take(data.x, rows) if len(rows) < len(data) else data.x
        yield from giveaways(some, data, rows)
        yield from repeated_rows(data, splits[0])
        yield from _useless(some)
    yield from _rare_classes(data, len(splits))


def _useless(x: pd.DataFrame) -> Iterator[Problem]:
    for name in x.columns:
        values = x[name]
        where = f"column {name}"
        if values.nunique() <= 1:
            yield Problem("has the same value in every row", where, f"Leave it out: dataset.drop=[{name}].")
        elif len(values) > 2 and values.is_unique and _numbers_rows(values):
            yield Problem(
                "numbers the rows: an identifier says nothing of new ones",
                where,
                f"Leave it out: dataset.drop=[{name}].",
            )


def _numbers_rows(values: pd.Series) -> bool:
    if kind_of(values) == "categorical":
        return True
    steps = (
        np.diff(np.sort(values.to_numpy())) if pd.api.types.is_integer_dtype(values.dtype) else np.zeros(1)
    )
    return bool((steps == steps[0]).all() and steps[0] > 0)


def _classes(data: Data) -> dict[str, int]:
    if data.targets:
        return {}
    counts = data.y.sum(axis=0) if data.y.ndim == 2 else np.bincount(data.y, minlength=len(data.classes))
    return dict(zip(data.classes, counts.tolist(), strict=True))


def _rare_classes(data: Data, folds: int) -> Iterator[Problem]:
    """Classes with fewer rows than parts that need one, and a target that is mostly one class."""
    if data.strata is None:
        return
    counts = _classes(data)
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    parts, what = (folds, f"{folds} folds") if folds > 1 else (3, "training, validation and test")
    few = [name for name, rows in counts.items() if rows < parts]
    if few:
        yield Problem(
            f"{counts[few[0]]} rows are of class {few[0]}, too few for {what}"
            + (f"; of {len(few) - 1} more classes likewise" if len(few) > 1 else ""),
            "target",
            "Add rows, merge classes, or take fewer folds.",
        )
    if counts[least] * _IMBALANCED < counts[most]:
        yield Problem(
            f"heavily imbalanced: {counts[most]:,} rows are of class {most}, {counts[least]:,} of {least}",
            "target",
            "Look at balanced_accuracy and f1; task.loss.class_weights=balanced weighs classes alike.",
        )
