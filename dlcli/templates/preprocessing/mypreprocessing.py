"""MyPreprocessing: a custom preprocessing."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from torch import nn


class MyPreprocessing(BaseEstimator):
    """Clips the numbers of a table to quantiles of the training rows, and scales them to the range from -1 to 1.

    Missing values become 0, and columns that are not numeric are left out. Attributes that `fit` sets, whose names end
    with an underscore, are saved with the model: plain values, arrays and scikit-learn estimators.

    Args:
        outside: Share of the training rows that is clipped at each end.
    """

    # Kinds of data: table, image, sequence, tokens.
    accepts: ClassVar = {"table"}

    def __init__(self, outside: float = 0.01) -> None:
        self.outside = outside

    def fit(self, x: pd.DataFrame) -> Self:
        """Fit to the training rows."""
        numbers = x.select_dtypes("number")
        self.columns_ = [str(name) for name in numbers.columns]
        values = numbers.to_numpy(np.float64)
        self.low_, self.high_ = np.nanquantile(values, [self.outside, 1 - self.outside], axis=0)
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: pd.DataFrame) -> dict[str, Any]:
        """Return the fields of rows: `x` as floats `(N, F)`. A row's result does not depend on other rows."""
        values = x[self.columns_].to_numpy(np.float64)
        span = np.where(self.high_ > self.low_, self.high_ - self.low_, 1.0)
        scaled = 2 * (values.clip(self.low_, self.high_) - self.low_) / span - 1
        return {"x": np.nan_to_num(scaled).astype(np.float32)}

    def facts(self) -> dict[str, Any]:
        """Return further facts that a model may have as arguments."""
        return {}

    def on_device(self) -> nn.Module | None:
        """Return a module that is applied to `x` of each batch on the device, or None."""
        return None

    def needed_columns(self) -> dict[str, str]:
        """Return the columns that new rows must have, with their kinds."""
        return dict.fromkeys(self.columns_, "numeric")
