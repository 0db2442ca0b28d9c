"""Find groups of strongly correlated columns of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd


def correlated_groups(table: pd.DataFrame, threshold: float = 0.8) -> list[list[str]]:
    """Return the names of the columns in groups that are connected by strong correlations.

    The correlation of numeric, boolean and date columns is the absolute rank correlation (Spearman), that of
    categorical columns is Cramer's V. Columns of the two kinds are not compared.

    Args:
        table: The columns.
        threshold: Minimum correlation of columns in the same group.
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
    """Return Cramer's V of two categorical columns, 0 to 1 (Cramer, Mathematical Methods of Statistics, 1946)."""
    counts = pd.crosstab(one.astype(str), other.astype(str)).to_numpy(float)
    rows, columns = counts.shape
    if min(rows, columns) < 2 or max(rows, columns) > len(one) / 4:  # almost all values are unique
        return 0.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    squares = float(((counts - expected) ** 2 / expected).sum())
    return float(np.sqrt(squares / counts.sum() / (min(rows, columns) - 1)))
