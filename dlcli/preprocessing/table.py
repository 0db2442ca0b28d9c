"""Tables of numbers: each column scaled by the training rows' statistics."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler


class Table(BaseEstimator):
    """Columns of numbers to `x`, `(N, F)`."""

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    def fit(self, x: pd.DataFrame) -> Self:
        """Learn the columns and, with `standard`, each one's mean and deviation."""
        self.columns_ = [str(name) for name in x.columns]
        values = x.to_numpy(dtype=np.float64)
        self.scaler_ = StandardScaler(
            with_mean=self.scaling == "standard", with_std=self.scaling == "standard"
        )
        self.scaler_.fit(values)
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: pd.DataFrame) -> dict[str, np.ndarray]:
        """`x` as floats `(N, F)`, the columns in the order in which they were fitted."""
        values = x[self.columns_].to_numpy(dtype=np.float64)
        return {"x": self.scaler_.transform(values).astype(np.float32)}

    def facts(self) -> dict[str, Any]:
        """Nothing that the shape of `x` does not say."""
        return {}

    def on_device(self) -> None:
        """Nothing remains to be done."""
