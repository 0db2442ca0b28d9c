"""Setting rows aside, in one place: final test rows before the folds, validation rows inside each of them.

A `Carver` takes rows and a share and gives back (the others, those set aside), both sorted. Which one a strategy uses
says what must not be torn apart: nothing (`by_row`), groups (`by_group`), or before and after (`by_time`).
`by_default` goes by the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.split import Split, carve

Share = Annotated[float, Ge(0), Lt(1)]

# What scikit-learn draws with; there is room for one more for each repetition.
Seed = Annotated[int, Ge(0), Lt(2**31)]
Carver = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]


def by_row(seed: int, strata: np.ndarray | None = None) -> Carver:
    """Draw rows; with `strata` each class gives its share."""
    return partial(carve, seed=seed, labels=strata)


def by_group(groups: np.ndarray, seed: int) -> Carver:
    """Draw whole groups: a share of the groups, not of their rows."""

    def carver(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        names = np.unique(groups[rows])
        count = _at_least_one(size, len(names))
        drawn = np.random.default_rng(seed).permutation(len(names))[:count]
        aside = np.isin(groups[rows], names[drawn])
        return np.sort(rows[~aside]), np.sort(rows[aside])

    return carver


def by_time(data: Data, gap: int = 0) -> Carver:
    """Take the last share of the points in time; rows of the `gap` points before it are in neither part.

    Nor are those whose target reaches into it. Of several series, each gives its own last share.

    Raises:
        DataError: the data has no times.
    """
    times = need(data, "times", "a split in time")

    def carve_one(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        points = np.unique(times[rows])
        count = _at_least_one(size, len(points))
        if count == 0:
            return rows, rows[:0]
        before = ends_before(data, points[: max(0, len(points) - count - gap)], points[-count])
        return rows[np.isin(times[rows], before)], rows[times[rows] >= points[-count]]

    def carver(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        parts = [carve_one(one, size) for one in each_series(data, rows)]
        rest, aside = (np.concatenate(part) for part in zip(*parts, strict=True))
        return np.sort(rest), np.sort(aside)

    return carver


def each_series(data: Data, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each series; all of them in one, where they are not of several."""
    if data.reach is None or data.groups is None or not len(rows):
        return [rows]
    codes = np.unique(data.groups[rows], return_inverse=True)[1]
    return np.split(rows[np.argsort(codes, kind="stable")], np.bincount(codes).cumsum()[:-1])


def by_default(
    data: Data, seed: int, strata: np.ndarray | None = None, in_time: bool | None = None
) -> Carver:
    """Draw whole groups where the data has them; else take the last rows where it has times; else draw rows.

    Of rows that are stretches of time, the last ones are taken, groups or not. `in_time` overrules the data.

    Raises:
        DataError: rows that have no times are to be split in time, or stretches of time to be drawn.
    """
    if in_time is False and data.reach is not None:
        raise DataError(
            f"rows of {data.name} are stretches of time that overlap: drawn, they would be in two parts",
            where="cv.by_time",
            hint="Leave it null, or give true.",
        )
    if in_time is None:
        in_time = data.reach is not None or (data.times is not None and data.groups is None)
    if in_time:
        return by_time(data)
    return by_row(seed, strata) if data.groups is None else by_group(data.groups, seed)


def ends_before(data: Data, times: np.ndarray, time: Any) -> np.ndarray:
    """Those of the times from which no row's target reaches as far as `time`."""
    return times if data.reach is None else times[times + data.reach < time]


def set_aside(data: Data, test_size: float, carver: Carver) -> tuple[np.ndarray, np.ndarray]:
    """The rows that folds are made of, and the final test rows: the dataset's own, else a share."""
    rows = np.arange(len(data))
    if data.test_rows is None:
        return carver(rows, test_size)
    test = np.sort(data.test_rows)
    return np.setdiff1d(rows, test), test


def make_splits(
    folds: Iterable[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, val_size: float, carver: Carver
) -> list[Split]:
    """Splits out of scikit-learn's folds, whose positions in `rows` are (train, held out); val comes out of train.

    Raises:
        DataError: the data does not allow such folds, or a part that must have rows has none.
    """
    try:
        pairs = [(rows[train], rows[held_out]) for train, held_out in folds]
    except ValueError as error:
        raise DataError(
            f"{len(rows)} rows cannot be split like this: {error}", where="cv", hint="Lower cv.folds."
        ) from error
    splits = []
    for number, (train, test) in enumerate(pairs):
        train, val = carver(train, val_size)
        if len(train) == 0:
            raise DataError(
                f"no training rows are left of {len(rows)} in fold {number}",
                where="cv",
                hint="Lower cv.test_size, cv.val_size or cv.folds.",
            )
        splits.append(Split(train, val, np.sort(test)))
    return splits


def need(data: Data, column: str, strategy: str) -> np.ndarray:
    """One of the columns that splits go by.

    Raises:
        DataError: the data has none.
    """
    values = getattr(data, column)
    if values is None:
        raise DataError(
            f"{strategy} goes by {column}, and {data.name} has none",
            where="cv",
            hint=f"Choose another strategy (cv=kfold), or data that has {column}.",
        )
    return values


def _at_least_one(size: float, of: int) -> int:
    return min(max(1, round(size * of)), of) if size > 0 else 0
