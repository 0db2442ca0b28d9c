"""Groups of columns of a table that say nearly the same."""

from __future__ import annotations

import numpy as np
import pandas as pd


def correlated_groups(table: pd.DataFrame, threshold: float = 0.8) -> list[list[str]]:
    """Return the names of the columns in groups, whose members are connected by strong correlations.

    Of numbers, booleans and dates the correlation is the absolute one of their ranks (Spearman); of words it is
    Cramer's V. A column of words and one of numbers are not compared.

    Args:
        table: The columns.
        threshold: The correlation from which on two columns belong together.
    """
    names = [str(name) for name in table.columns]
    numbers = {name: ranks for name in names if (ranks := _ranks(table[name])) is not None}
    above = list(range(len(names)))

    def root(place: int) -> int:
        while above[place] != place:
            place = above[place]
        return place

    for i, one in enumerate(names):
        for j in range(i):
            other = names[j]
            if (one in numbers) != (other in numbers):
                continue
            strength = (
                _correlation(numbers[one], numbers[other])
                if one in numbers
                else _cramers_v(table[one], table[other])
            )
            if strength >= threshold:
                above[root(i)] = root(j)
    groups: dict[int, list[str]] = {}
    for place, name in enumerate(names):
        groups.setdefault(root(place), []).append(name)
    return list(groups.values())


def _ranks(values: pd.Series) -> np.ndarray | None:
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.astype("int64")
    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
        return None
    known = pd.to_numeric(values).astype(float)
    return known.fillna(known.median()).rank().to_numpy()


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(one, other)[0, 1]))


def _cramers_v(one: pd.Series, other: pd.Series) -> float:
    """Return Cramer's V of two columns of words, 0 to 1 (Cramer, Mathematical Methods of Statistics, 1946)."""
    counts = pd.crosstab(one.astype(str), other.astype(str)).to_numpy(float)
    rows, columns = counts.shape
    if min(rows, columns) < 2 or max(rows, columns) > len(one) / 4:  # almost every row has a word of its own
        return 0.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    squares = float(((counts - expected) ** 2 / expected).sum())
    return float(np.sqrt(squares / counts.sum() / (min(rows, columns) - 1)))
