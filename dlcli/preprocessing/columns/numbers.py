"""Transformation of numeric columns: clip outliers, fill missing values, scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from dlcli.preprocessing.columns.arithmetic import Arithmetic
from dlcli.preprocessing.columns.outliers import Clip

Scaling = Literal["standard", "min_max", "robust", "quantile", "center", "none"]
Fill = Literal["mean", "median", "most_frequent", "constant", "keep"]

# Number of cells fitted at a time, because scikit-learn copies its input several times.
_CELLS = 1 << 20


class Numbers(TransformerMixin, BaseEstimator):
    """Transformation of floats `(N, F)` with missing values to `(N, F + G)`: the columns, and G missing-value
    indicators.

    Columns are independent and fitted a few at a time, so that a large table is never copied as a whole.

    Args:
        scaling: scaling to mean 0 and standard deviation 1, to the range 0 to 1, by median and quartiles, or to a
            normal distribution; `center` only subtracts the median, `none` does not scale.
        fill: replacement of missing values; `keep` leaves them missing.
        value: replacement for `fill=constant`.
        indicator: add a column of 0 and 1 for each column that had missing values when it was fitted.
        clip: clipping of outliers; None leaves them unchanged.
    """

    def __init__(
        self,
        scaling: Scaling = "standard",
        fill: Fill = "median",
        value: float = 0.0,
        indicator: bool = False,
        clip: Clip | None = None,
    ) -> None:
        self.scaling = scaling
        self.fill = fill
        self.value = value
        self.indicator = indicator
        self.clip = clip

    def fit(self, x: Sequence[np.ndarray], y: object = None) -> Self:
        """Fit on columns `(N,)`, which may be created on access."""
        rows = len(x[0]) if len(x) else 0
        self.width_ = len(x)
        self.pipelines_, gaps = [], []
        medians = [np.zeros(0)]
        for columns in self._blocks(rows):
            block = np.stack([x[column] for column in columns], axis=1)
            gaps.append(np.isnan(block).any(axis=0))
            self.pipelines_.append(self._fitted(block))
            if self.fill == "keep":
                medians.append(_medians(block)[0])
        found = np.concatenate(gaps) if gaps else np.zeros(0, dtype=bool)
        self.gaps_ = np.flatnonzero(found) if self.indicator else np.zeros(0, dtype=np.int64)
        self.block_ = max(1, _CELLS // max(1, rows))
        if self.fill == "keep":  # typical values for example rows, which otherwise come from the imputer
            self.medians_ = np.concatenate(medians)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Map `(N, F)` to `(N, F + G)`, float32."""
        out = np.empty((len(x), self.width_ + len(self.gaps_)), dtype=np.float32)
        out[:, self.width_ :] = np.isnan(x[:, self.gaps_])
        if self.pipelines_ and self.scaling != "quantile":
            out[:, : self.width_] = self._arithmetic().apply(x)
            return out
        for number, pipeline in enumerate(self.pipelines_):
            columns = slice(number * self.block_, min((number + 1) * self.block_, self.width_))
            out[:, columns] = pipeline.transform(x[:, columns])
        return out

    def _arithmetic(self) -> Arithmetic:
        return Arithmetic.joined(self.pipelines_, self.block_, self.width_)

    def _blocks(self, rows: int) -> Iterator[range]:
        size = max(1, _CELLS // max(1, rows))
        for first in range(0, self.width_, size):
            yield range(first, min(first + size, self.width_))

    def _fitted(self, block: np.ndarray) -> Pipeline:
        """Return the pipeline, fitted on columns `(N, B)`."""
        pipeline = self._pipeline(len(block))
        if self.fill != "median":
            return pipeline.fit(block)
        # scikit-learn computes medians by sorting masked arrays, and transforms what nothing more is fitted on.
        has_gaps = bool(np.isnan(block).any())
        for number, (_, step) in enumerate(pipeline.steps):
            if isinstance(step, SimpleImputer):
                step.fit(_medians(block))
            elif isinstance(step, StandardScaler) and block.shape[1] == 1:
                _fit_standard(step, block)
            else:
                step.fit(block)
            if number + 1 < len(pipeline.steps) and (has_gaps or not isinstance(step, SimpleImputer)):
                block = step.transform(block)
        return pipeline

    def _pipeline(self, rows: int) -> Pipeline:
        fill = (
            []
            if self.fill == "keep"
            else [SimpleImputer(strategy=self.fill, fill_value=self.value, keep_empty_features=True)]
        )
        scaler = {
            "standard": StandardScaler(),
            "min_max": MinMaxScaler(),
            "robust": RobustScaler(),
            "quantile": QuantileTransformer(
                n_quantiles=min(1000, rows), output_distribution="normal", subsample=None
            ),
            "center": RobustScaler(with_scaling=False),
            "none": None,
        }[self.scaling]
        clip = [Clip(self.clip.rule, self.clip.limit)] if self.clip is not None else []
        steps = [*clip, *fill, *([scaler] if scaler is not None else [])]
        return make_pipeline(*(steps or ["passthrough"]))


def _fit_standard(scaler: StandardScaler, column: np.ndarray) -> None:
    """Fit a scaler on one column `(N, 1)` without gaps: scikit-learn's sums, without its search for gaps in each."""
    count = len(column)
    scaler.fit(column[:1])  # sets what does not depend on the values
    mean = column.sum(axis=0) / count
    centred = column - mean
    correction = centred.sum(axis=0)
    np.square(centred, out=centred)
    variance = (centred.sum(axis=0) - correction**2 / count) / count
    least = count * np.finfo(np.float64).eps
    is_constant = (variance <= least * variance + (least * mean) ** 2) | (variance == 0)
    scaler.mean_, scaler.var_ = mean, variance
    scaler.scale_ = np.where(is_constant, 1.0, np.sqrt(variance))
    scaler.n_samples_seen_ = np.float64(count)


def _medians(block: np.ndarray) -> np.ndarray:
    """Return one row with the median of each column, NaN for a column without values."""
    gaps = np.isnan(block)
    columns = (
        [column[~gap] for column, gap in zip(block.T, gaps.T, strict=True)] if gaps.any() else list(block.T)
    )
    return np.array([[np.median(column) if len(column) else np.nan for column in columns]])
