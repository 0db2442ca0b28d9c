"""Encoding of date columns as numbers: year, month, hour and so on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

_PARTS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "year": lambda dates: dates.dt.year,
    "month": lambda dates: dates.dt.month,
    "day": lambda dates: dates.dt.day,
    "weekday": lambda dates: dates.dt.day_of_week,
    "hour": lambda dates: dates.dt.hour,
    "minute": lambda dates: dates.dt.minute,
    "second": lambda dates: dates.dt.second,
}


# Rows that are looked at before all of them.
_FIRST = 1000


def _varies(values: pd.Series) -> bool:
    return bool(values.notna().any()) and bool(values.min() != values.max())


class DateParts(BaseEstimator):
    """Parts of the dates of one column that vary between the fitted rows."""

    def fit(self, dates: pd.Series) -> Self:
        """Determine the parts that vary."""
        self.parts_ = [
            name
            for name, part in _PARTS.items()
            if any(_varies(part(some)) for some in (dates.head(_FIRST), dates))
        ]
        return self

    def part(self, name: str, dates: pd.Series) -> np.ndarray:
        """Return one part `(N,)`, with NaN for missing dates; weekdays count from Monday as 0."""
        return _PARTS[name](dates).to_numpy(dtype=np.float64, na_value=np.nan)

    def transform(self, dates: pd.Series) -> list[np.ndarray]:
        """Return a column `(N,)` per part."""
        return [self.part(name, dates) for name in self.parts_]
