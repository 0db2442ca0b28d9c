"""Clipping of outliers to bounds computed from the quartiles or the deviation of each column."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from annotated_types import Gt
from sklearn.base import BaseEstimator, TransformerMixin

Rule = Literal["iqr", "zscore"]

# Tukey's fences (1977), and three deviations, which contain 99.7 % of a normal distribution.
_USUAL = {"iqr": 1.5, "zscore": 3.0}


class Clip(TransformerMixin, BaseEstimator):
    """Clipping of values to the bounds of their column; missing values remain missing.

    Args:
        rule: `iqr` sets the bounds at `limit` interquartile ranges beyond the quartiles, `zscore` at `limit` deviations
            from the mean.
        limit: number of ranges or deviations; None takes 1.5 or 3.
    """

    def __init__(self, rule: Rule = "iqr", limit: Annotated[float, Gt(0)] | None = None) -> None:
        self.rule = rule
        self.limit = limit

    def fit(self, x: np.ndarray, y: Any = None) -> Self:
        """Compute the bounds of each column of `(N, F)`; a column with at most two values (a flag) has none."""
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
            if spread > 0:  # if most rows had the same value, all others would be outliers
                self.low_[column], self.high_[column] = low - limit * spread, high + limit * spread
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return the values `(N, F)` clipped to the bounds."""
        return np.clip(x, self.low_, self.high_)

    def outside(self, x: np.ndarray) -> np.ndarray:
        """Return a mask `(N,)` of the rows with a value outside its bounds."""
        return np.any((x < self.low_) | (x > self.high_), axis=1)
