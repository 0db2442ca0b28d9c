"""Arithmetic of fitted pipelines of numbers, faster than scikit-learn's transformers on few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from dlcli.preprocessing.columns.outliers import Clip


class Arithmetic(NamedTuple):
    """The operations of a pipeline on F columns; every array is `(F,)`.

    Numbers are clipped to `low` and `high`, missing ones replaced by `fill` (NaN keeps them), and the result is `(x -
    shift) / divide * factor + add`.
    """

    low: np.ndarray
    high: np.ndarray
    fill: np.ndarray
    shift: np.ndarray
    divide: np.ndarray
    factor: np.ndarray
    add: np.ndarray

    @classmethod
    def of(cls, pipeline: Pipeline, width: int) -> Arithmetic:
        """Return the arithmetic of a pipeline that was fitted on `width` columns.

        Raises:
            TypeError: a step is not arithmetic of this kind; the message names it.
        """
        imputer = pipeline.named_steps.get("simpleimputer")
        # Without a replacement, missing values remain missing.
        fill = np.full(width, np.nan) if imputer is None else imputer.statistics_.astype(np.float64)
        zeros, ones = np.zeros_like(fill), np.ones_like(fill)
        low, high, shift, divide, factor, add = zeros - np.inf, zeros + np.inf, zeros, ones, ones, zeros
        for _, step in pipeline.steps:
            match step:
                case Clip():
                    low, high = step.low_, step.high_
                case StandardScaler():
                    shift, divide = step.mean_, step.scale_
                case MinMaxScaler():
                    factor, add = step.scale_, step.min_
                case RobustScaler():
                    shift, divide = step.center_, ones if step.scale_ is None else step.scale_
                case _ if step is not imputer and step != "passthrough":
                    raise TypeError(type(step).__name__)
        return cls(low, high, fill, shift, divide, factor, add)

    @classmethod
    def joined(cls, pipelines: Sequence[Pipeline], block: int, width: int) -> Arithmetic:
        """Return the arithmetic of pipelines of `block` adjacent columns each, and `width` columns in total.

        Raises:
            TypeError: as for `of`.
        """
        parts = [cls.of(each, min(block, width - number * block)) for number, each in enumerate(pipelines)]
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return the results for `(N, F)` in double precision, bit-identical to those of the pipelines."""
        x = np.clip(x, self.low, self.high) if np.isfinite((self.low, self.high)).any() else x.copy()
        missing = np.isnan(x)
        if missing.any():
            np.copyto(x, self.fill, where=missing)
        for array, operation, neutral in (
            (self.shift, np.subtract, 0),
            (self.divide, np.divide, 1),
            (self.factor, np.multiply, 1),
            (self.add, np.add, 0),
        ):
            if (array != neutral).any():
                operation(x, array, out=x)
        return x
