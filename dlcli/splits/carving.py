"""Carve off rows: final test rows before the folds are made, and validation rows within each fold.

A `Carver` takes rows and a share, and returns (remaining rows, carved rows), both sorted. It draws single rows
(`by_row`), whole groups (`by_group`), or the latest rows (`by_time`); `by_default` chooses by the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt
from sklearn.model_selection import train_test_split

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.formatting import counted
from dlcli.splits.split import Split

Share = Annotated[float, Ge(0), Lt(1)]

# The range of scikit-learn's seeds, halved, so that a seed per repetition can be added.
Seed = Annotated[int, Ge(0), Lt(2**31)]
Carver = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]


def carve(
    rows: np.ndarray, size: float, *, seed: int, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share `size` of the rows and return (remaining rows, drawn rows), both sorted.

    With `labels`, the same share of each class is drawn as far as possible; classes with a single row count as rows of
    the largest class.
    """
    count = _at_least_one(size, len(rows))  # a requested part is never empty
    if count in (0, len(rows)):
        nothing, everything = rows[:0], np.sort(rows)
        return (everything, nothing) if count == 0 else (nothing, everything)
    stratify = labels[rows] if labels is not None else None
    if stratify is not None:
        _, inverse, per_class = np.unique(stratify, return_inverse=True, return_counts=True)
        # scikit-learn rejects classes with a single row, and parts with fewer rows than classes.
        if per_class.min() < 2 or min(count, len(rows) - count) < len(per_class):
            stratify = (
                None if min(count, len(rows) - count) < len(per_class) else _merge_single(inverse, per_class)
            )
    rest, drawn = train_test_split(rows, test_size=count, random_state=seed, stratify=stratify)
    # Row numbers differ: setting a mark at each takes a fifth of the time of sorting them.
    marks = np.zeros(rows.max() + 1, dtype=np.int8)
    marks[rest], marks[drawn] = 1, 2
    return np.flatnonzero(marks == 1), np.flatnonzero(marks == 2)


def _merge_single(codes: np.ndarray, per_class: np.ndarray) -> np.ndarray:
    """Return the codes with classes of a single row replaced by the largest class."""
    single = per_class[codes] < 2
    return np.where(single, per_class.argmax(), codes)


def by_row(seed: int, strata: np.ndarray | None = None) -> Carver:
    """Return a carver that draws single rows; with `strata`, the same share of each class."""
    return partial(carve, seed=seed, labels=strata)


def by_group(groups: np.ndarray, seed: int) -> Carver:
    """Return a carver that draws complete groups; the share is that of the groups, not of their rows."""

    def carver(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        names = np.unique(groups[rows])
        count = _at_least_one(size, len(names))
        if count and len(names) == 1:
            raise DataError(
                f"{counted(len(rows), 'row')} of one group, {names[0]}, are left to be divided, but groups are kept "
                "together",
                "cv",
                "Give rows of at least three groups, for training, validation and test.",
            )
        drawn = np.random.default_rng(seed).permutation(len(names))[:count]
        carved = np.isin(groups[rows], names[drawn])
        return np.sort(rows[~carved]), np.sort(rows[carved])

    return carver


def by_time(data: Data, gap: int = 0) -> Carver:
    """Return a carver that takes the last share of the points in time.

    Rows of the `gap` points before it, and rows whose target reaches into it, are in neither part. With several series,
    the last share of each series is taken.

    Raises:
        DataError: the data has no times.
    """
    times = required_column(data, "times", "a split in time")

    def carve_one(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        points = np.unique(times[rows])
        count = _at_least_one(size, len(points))
        if count == 0:
            return rows, rows[:0]
        before = ends_before(data, points[: max(0, len(points) - count - gap)], points[-count])
        return rows[np.isin(times[rows], before)], rows[times[rows] >= points[-count]]

    def carver(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        parts = [carve_one(one, size) for one in each_series(data, rows)]
        rest, carved = (np.concatenate(part) for part in zip(*parts, strict=True))
        return np.sort(rest), np.sort(carved)

    return carver


def each_series(data: Data, rows: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each series; one array of all rows if the data is not made of several series."""
    if data.reach is None or data.groups is None or not len(rows):
        return [rows]
    codes = np.unique(data.groups[rows], return_inverse=True)[1]
    return np.split(rows[np.argsort(codes, kind="stable")], np.bincount(codes).cumsum()[:-1])


def by_default(
    data: Data, seed: int, strata: np.ndarray | None = None, in_time: bool | None = None
) -> Carver:
    """Return the carver that fits the data: by group if it has groups, else by time if it has times, else by row.

    Rows that are windows of a series are always carved by time. `in_time` overrides the choice.

    Raises:
        DataError: `in_time` is true for data without times, or false for windows of a series.
    """
    if in_time is False and data.reach is not None:
        raise DataError(
            f"rows of {data.name} are overlapping windows of a series: drawn at random, they would be in two parts",
            where="cv.by_time",
            hint="Set it to null or true.",
        )
    if in_time is None:
        in_time = data.reach is not None or (data.times is not None and data.groups is None)
    if in_time:
        return by_time(data)
    return by_row(seed, strata) if data.groups is None else by_group(data.groups, seed)


def ends_before(data: Data, times: np.ndarray, time: Any) -> np.ndarray:
    """Return those of the times at which a row's target ends before `time`."""
    return times if data.reach is None else times[times + data.reach < time]


def set_aside(data: Data, test_size: float, carver: Carver) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows for the folds, and the final test rows: the dataset's own, else a share `test_size` of all."""
    rows = np.arange(len(data))
    if data.test_rows is None:
        return carver(rows, test_size)
    test = np.sort(data.test_rows)
    return np.setdiff1d(rows, test), test


def make_splits(
    folds: Iterable[tuple[np.ndarray, np.ndarray]],
    rows: np.ndarray,
    val_size: float,
    carver: Carver,
    reach: int | None = None,
) -> list[Split]:
    """Build splits from scikit-learn's folds, given as positions in `rows` (train, held out).

    The held-out rows are the test rows; validation rows are carved off the training rows. `reach` is how far the target
    of a row reaches into the future, for windows of a series.

    Raises:
        DataError: the folds are impossible for the data, or no training rows are left.
    """
    try:
        pairs = [(rows[train], rows[held_out]) for train, held_out in folds]
    except ValueError as error:
        what, kind = ("rows", DataError) if reach is None else ("windows", NoWindowLeft)
        raise kind(
            f"{len(rows):,} {what} cannot be split: {error}", where="cv", hint="Lower cv.folds."
        ) from error
    splits = []
    for number, (train, test) in enumerate(pairs):
        train, val = carver(train, val_size)
        if len(train) == 0 and reach is not None:
            raise _no_window_left(len(rows), number if len(pairs) > 1 else None)
        if len(train) == 0:
            raise DataError(
                f"no training rows are left of {len(rows)} in fold {number}",
                where="cv",
                hint="Lower cv.test_size, cv.val_size or cv.folds.",
            )
        splits.append(Split(train, val, np.sort(test)))
    return splits


def required_column(data: Data, column: str, strategy: str) -> np.ndarray:
    """Return a column of the data that a strategy depends on, such as `groups`.

    Raises:
        DataError: the data does not have it.
    """
    values = getattr(data, column)
    if values is None:
        raise DataError(
            f"{strategy} needs {column}, and {data.name} has none",
            where="cv",
            hint=f"Choose another strategy (cv=kfold), or data with {column}.",
        )
    return values


def _at_least_one(size: float, total: int) -> int:
    return min(max(1, round(size * total)), total) if size > 0 else 0


class NoWindowLeft(DataError):
    """No window of a series is left for training."""


def _no_window_left(windows: int, fold: int | None) -> NoWindowLeft:
    """Return the error of a hold-out, or of a fold, whose windows all reach into validation or test rows."""
    if fold is not None:
        return NoWindowLeft(
            f"no window is left for training in fold {fold}: all windows before its held-out rows reach into them or "
            "into validation rows",
            "cv",
            "Lower cv.folds, cv.val_size, dataset.horizon or dataset.lookback, or give a longer series.",
        )
    return NoWindowLeft(
        f"no window is left for training: of {counted(windows, 'window')} of the series, all reach into validation or "
        "test rows",
        "dataset.horizon",
        "Lower dataset.horizon, dataset.lookback, cv.test_size or cv.val_size, give a longer series, or set "
        "dataset.test_steps to the last steps that the model is tested on.",
    )
