"""Outliers: bounds of each column, by the quartiles or the deviation of the rows that are fitted."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from annotated_types import Gt
from sklearn.base import BaseEstimator, TransformerMixin

Rule = Literal["iqr", "zscore"]

# Tukey's fences (1977), and the three deviations that 99.7 % of a normal distribution lie within.
_USUAL = {"iqr": 1.5, "zscore": 3.0}


class Clip(TransformerMixin, BaseEstimator):
    """Values beyond a column's bounds become the bounds; missing ones stay missing.

    Args:
        rule: `iqr` sets the bounds so many interquartile ranges beyond the quartiles, `zscore` so many deviations from
            the mean.
        limit: how many; None: 1.5 and 3.
    """

    def __init__(self, rule: Rule = "iqr", limit: Annotated[float, Gt(0)] | None = None) -> None:
        self.rule = rule
        self.limit = limit

    def fit(self, x: np.ndarray, y: Any = None) -> Self:
        """Find the bounds of each column of `(N, F)`; one with two values at most, a flag, has none."""
        limit = _USUAL[self.rule] if self.limit is None else self.limit
        self.low_ = np.full(x.shape[1], -np.inf)
        self.high_ = np.full(x.shape[1], np.inf)
        for column in range(x.shape[1]):
            values = x[~np.isnan(x[:, column]), column]
            if len(np.unique(values)) <= 2:
                continue
            if self.rule == "iqr":
                low, high = np.quantile(values, (0.25, 0.75))
                spread = high - low
            else:
                low = high = values.mean()
                spread = values.std()
            if spread > 0:  # where most rows share one value, every other would be an outlier
                self.low_[column], self.high_[column] = low - limit * spread, high + limit * spread
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """`(N, F)` within the bounds."""
        return np.clip(x, self.low_, self.high_)

    def outside(self, x: np.ndarray) -> np.ndarray:
        """Which rows have a value beyond its bounds, `(N,)`."""
        return np.any((x < self.low_) | (x > self.high_), axis=1)
