"""Errors by slice: groups of rows on which a model's mean error differs from that on the other rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from dlcli.statistics.mean_ranks import holm

# The quantile of the normal distribution for an interval of 95 %.
_Z = 1.959963984540054

# Minimum number of rows of a slice, and number of bins of numeric columns.
FEWEST, _PARTS = 20, 4
_MOST_NAMES = 50  # maximum number of values of a categorical column that are slices


@dataclass(frozen=True)
class Slice:
    """A group of rows, and the difference of its mean error from that of all other rows.

    Attributes:
        column: The column, or `target` for the classes.
        value: Its value, or the range of its values.
        rows: Number of rows.
        error: Mean error of the rows.
        difference: The mean error minus that of all other rows.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of the interval.
        p: p-value of the null hypothesis of no difference, with Holm's correction for the number of slices.
    """

    column: str
    value: str
    rows: int
    error: float
    difference: float
    low: float
    high: float
    p: float


def find_slices(
    columns: Mapping[str, pd.Series], errors: np.ndarray, groups: np.ndarray | None = None
) -> list[Slice]:
    """Return the slices of all columns, those with the largest difference first.

    Slices are the values of categorical columns, the quartiles of numeric and date columns, and missing values. Each
    slice and its complement have at least 20 rows. The difference is tested by Welch's test with the normal
    approximation; p-values are corrected for the number of slices (Holm, 1979), since some of many slices differ by
    chance.

    Args:
        columns: Values of each column, `(N,)`.
        errors: Error of each row, `(N,)`.
        groups: Row of each error, `(N,)`, if rows have several, such as those of the boxes of an image. Rows are
            counted then, and the standard error is that of a sample of rows (linearization, as for cluster samples).
    """
    _, places = np.unique(np.arange(len(errors)) if groups is None else groups, return_inverse=True)
    found = [
        (name, value, inside)
        for name, values in columns.items()
        for value, inside in _parts_of(values)
        if min(_rows(places, inside), _rows(places, ~inside)) >= FEWEST
    ]
    slices = []
    for name, value, inside in found:
        own, others = errors[inside], errors[~inside]
        difference = float(own.mean() - others.mean())
        if groups is None:
            se = math.sqrt(own.var(ddof=1) / len(own) + others.var(ddof=1) / len(others))
        else:
            se = _grouped(errors, inside, places)
        p = 2 * float(ndtr(-abs(difference) / se)) if se > 0 else float(difference == 0)
        reach = _Z * se
        slices.append(
            Slice(
                name,
                value,
                _rows(places, inside),
                float(own.mean()),
                difference,
                difference - reach,
                difference + reach,
                p,
            )
        )
    corrected = holm([one.p for one in slices])
    slices = [Slice(**{**vars(one), "p": float(p)}) for one, p in zip(slices, corrected, strict=True)]
    return sorted(slices, key=lambda one: -one.difference)


def _rows(places: np.ndarray, inside: np.ndarray) -> int:
    return len(np.unique(places[inside]))


def _grouped(errors: np.ndarray, inside: np.ndarray, places: np.ndarray) -> float:
    """Return the standard error of the difference of two means, if the errors of a row depend on each other."""
    shares = np.where(
        inside,
        (errors - errors[inside].mean()) / inside.sum(),
        -(errors - errors[~inside].mean()) / (~inside).sum(),
    )
    of_rows = np.bincount(places, weights=shares)
    return math.sqrt(len(of_rows) / (len(of_rows) - 1) * float(np.square(of_rows).sum()))


def _parts_of(values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the slices of a column, each as its name and a mask of its rows."""
    missing = values.isna().to_numpy()
    if missing.any():
        yield "missing", missing
    if pd.api.types.is_bool_dtype(values) or not (
        pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values)
    ):
        texts = values.astype(str)
        for name in texts[~missing].value_counts().index[:_MOST_NAMES]:
            yield str(name), (texts == name).to_numpy() & ~missing
        return
    known = values[~missing]
    if known.nunique() <= _PARTS:
        for one in sorted(known.unique()):
            yield _shown(one), (values == one).to_numpy()
        return
    ends = np.unique(np.quantile(known.to_numpy(), np.linspace(0, 1, _PARTS + 1), method="nearest"))
    for place, (low, high) in enumerate(itertools.pairwise(ends)):
        above = (values >= low) if place == 0 else (values > low)
        yield f"{_shown(low)} to {_shown(high)}", (above & (values <= high)).to_numpy()


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float | np.number) else str(value)[:10]
