"""The profile of some data, and warnings of what ruins results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.checks.column_profile import ColumnProfile, describe_columns
from dlcli.checks.leaks import giveaways, repeated_rows, torn_groups
from dlcli.checks.row_summary import as_table, describe_rows
from dlcli.checks.time_order import mixed_times
from dlcli.datasets.data import Data, take
from dlcli.datasets.tables.columns import kind_of
from dlcli.errors import Problem
from dlcli.splits.order import in_time
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
        rows_are: what, in a few words.
        classes: rows of each class, or with each label.
        targets: the targets' ranges, for regression.
        columns: a table's.
        warnings: what ruins results; nothing is refused for it.
    """

    name: str
    rows: int
    rows_are: str
    classes: dict[str, int]
    targets: tuple[ColumnProfile, ...]
    columns: tuple[ColumnProfile, ...]
    warnings: tuple[Problem, ...]


def profile(data: Data, splits: Sequence[Split]) -> Profile:
    """Look at the data; `splits` are those that it is trained and judged on."""
    y = data.y.reshape(len(data), -1) if data.targets and data.kind == "table" else np.empty((0, 0))
    return Profile(
        data.name,
        len(data),
        describe_rows(data) + (", split in time" if all(in_time(data, split) for split in splits) else ""),
        _classes(data),
        describe_columns(pd.DataFrame(y, columns=list(data.targets))) if y.size else (),
        describe_columns(as_table(data.x)),
        tuple(find_warnings(data, splits)),
    )


def find_warnings(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """What of the data ruins results, the worst first. Single columns are judged by `_ROWS` rows at most."""
    yield from torn_groups(data, splits)
    rows = np.arange(0, len(data), -(-len(data) // _ROWS))
    some = take(data.x, rows) if isinstance(data.x, pd.DataFrame) else pd.DataFrame()
    yield from giveaways(some, data, rows)
    yield from repeated_rows(data, splits[0])
    yield from mixed_times(data, splits)
    yield from _useless(some)
    yield from data.warnings
    yield from _rare_classes(data, splits)


def _useless(x: pd.DataFrame) -> Iterator[Problem]:
    for name in x.columns:
        values = x[name]
        where = f"column {name}"
        if values.nunique() <= 1:
            yield Problem("has the same value in every row", where, f"Leave it out: dataset.drop=[{name}].")
        elif len(values) > 2 and values.is_unique and _numbers_rows(values):
            yield Problem(
                "numbers the rows: an identifier says nothing about new rows",
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


def _rare_classes(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Classes that some split does not learn or most do not test, and a target that is mostly one class."""
    if data.strata is None:
        return
    counts = _classes(data)
    yield from _absent(data, [split.train for split in splits], "training", 0)
    # A part with fewer rows than classes lacks some whatever is done: such as one row that is left out.
    tests = [split.test for split in splits if len(split.test) >= len(counts)]
    yield from _absent(data, tests, "test", len(tests) // 2)
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[least] * _IMBALANCED < counts[most]:
        yield Problem(
            f"heavily imbalanced: {counts[most]:,} rows are of class {most}, {counts[least]:,} of {least}",
            "target",
            "Look at balanced_accuracy and f1; task.loss.class_weights=balanced weighs classes alike.",
        )


def _absent(data: Data, parts: Sequence[np.ndarray], what: str, bearable: int) -> Iterator[Problem]:
    """Classes without a row in more than `bearable` of the parts."""
    lacking = np.zeros(len(data.classes), dtype=np.int64)
    for rows in parts:
        lacking += np.bincount(data.y[rows], minlength=len(data.classes)) == 0
    few = np.flatnonzero(lacking > bearable)
    if len(few):
        where = f" in {lacking[few[0]]:,} of {len(parts):,} splits" if len(parts) > 1 else ""
        yield Problem(
            f"no {what} row is of class {data.classes[few[0]]}{where}"
            + (f"; of {len(few) - 1} more classes likewise" if len(few) > 1 else ""),
            "target",
            "Add rows, merge classes, or take fewer folds.",
        )
