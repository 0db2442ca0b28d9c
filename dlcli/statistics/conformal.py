"""Conformal prediction: sets of classes and intervals of numbers that contain the target with a given probability.

The coverage is marginal: it is guaranteed on average over new rows, not for each kind of row, if the rows are
exchangeable with the calibration rows (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dlcli.errors import InputError

# Tolerance, so that rounding does not require one more row.
_ROUNDING = 1e-9


def fewest_rows(coverage: float) -> int:
    """Return the smallest number of calibration rows for a coverage."""
    return max(1, math.ceil(coverage / (1 - coverage) - _ROUNDING))


def conformal_quantile(scores: np.ndarray, coverage: float) -> np.ndarray:
    """Return the `ceil((n + 1) coverage)`-th smallest of n scores along the first dimension.

    With at least the given probability, the score of a new row is at most this value: split conformal prediction (Lei
    et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018, theorem 2.2). NaN counts as
    infinite.

    Args:
        scores: Scores of the calibration rows, `(N, ...)`.
        coverage: The probability, between 0 and 1.

    Raises:
        InputError: There are too few scores for the coverage.
    """
    if len(scores) < (needed := fewest_rows(coverage)):
        raise InputError(
            f"a coverage of {coverage:g} needs at least {needed:,} calibration rows, and there are {len(scores):,}",
            "--coverage",
            f"With {len(scores):,} rows at most {len(scores) / (len(scores) + 1):.3g} can be had: ask for less, or "
            "train with more validation rows (cv.val_size), or in folds (cv=kfold).",
        )
    rank = math.ceil((len(scores) + 1) * coverage - _ROUNDING)
    return np.partition(np.where(np.isnan(scores), np.inf, scores), rank - 1, axis=0)[rank - 1]


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """Prediction sets: the classes whose probability is large enough (Sadinle, Lei and Wasserman, JASA 114, 2019).

    The score of a row is 1 minus the probability of its class. The predicted class is always in the set; otherwise the
    set of a row without a probable class would be empty. This can only increase the coverage.

    Attributes:
        coverage: The requested probability.
        rows: Number of calibration rows.
        limit: Maximum score of the classes in a set.
    """

    coverage: float
    rows: int
    limit: float
    size_name: ClassVar[str] = "conformal_set_size"

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float) -> ConformalSets:
        """Fit to the calibration rows: a table with the columns `target` and `p(CLASS)`, one line per row."""
        names, shares = _shares(table)
        scores = 1 - shares[np.arange(len(table)), _codes(names, table["target"])]
        return cls(coverage, len(table), float(conformal_quantile(scores, coverage)))

    def columns(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the column `set`: the names of the classes as one line of CSV."""
        names, _ = _shares(predictions)
        patterns, which = np.unique(self._within(predictions), axis=0, return_inverse=True)
        texts = [_line([name for name, inside in zip(names, row, strict=True) if inside]) for row in patterns]
        return pd.DataFrame(
            {"set": np.array(texts, dtype=object)[which.reshape(-1)]}, index=predictions.index
        )

    def measure(self, judged: pd.DataFrame) -> dict[str, float]:
        """Return the share of rows whose class is in their set, and the mean number of classes of a set."""
        names, _ = _shares(judged)
        within = self._within(judged)
        hits = within[np.arange(len(judged)), _codes(names, judged["target"])]
        return {"conformal_coverage": float(hits.mean()), self.size_name: float(within.sum(axis=1).mean())}

    def _within(self, table: pd.DataFrame) -> np.ndarray:
        names, shares = _shares(table)
        within = 1 - shares <= self.limit
        within[np.arange(len(table)), _codes(names, table["prediction"])] = True
        return within


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Prediction intervals: the prediction plus and minus a margin, or quantiles that are moved by a margin.

    The score of a row is its absolute error. With several quantiles, it is the distance of the target from the range
    between the lowest and the highest one, negative within the range (Romano, Patterson and Candès, "Conformalized
    Quantile Regression", NeurIPS 2019, equation 6). Several targets, and the steps of a forecast, are calibrated
    separately.

    Attributes:
        coverage: The requested probability, for each target and step.
        rows: Number of calibration rows.
        limits: Suffix of the target's columns to the maximum score in the interval of each step, `(S,)`.
    """

    coverage: float
    rows: int
    limits: Mapping[str, np.ndarray]
    size_name: ClassVar[str] = "conformal_width"

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float) -> ConformalIntervals:
        """Fit to the calibration rows: a table with the columns `target` and `prediction`, and `step` of forecasts."""
        endings = [
            str(n).removeprefix("prediction") for n in table.columns if str(n).startswith("prediction")
        ]
        steps = _steps(table)
        order = np.argsort(steps, kind="stable")
        last = int(steps.max(initial=0)) + 1
        limits = {}
        for ending in endings:
            low, high = _bounds(table, ending)
            y = table[f"target{ending}"].to_numpy(np.float64)
            scores = np.maximum(low - y, y - high)[order].reshape(last, -1)
            limits[ending] = conformal_quantile(scores.T, coverage)
        return cls(coverage, len(table) // last, limits)

    def columns(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the columns `low` and `high`; with several targets `low(TARGET)` and so on."""
        found = {}
        for ending, (low, high) in self._intervals(predictions).items():
            found[f"low{ending}"], found[f"high{ending}"] = low, high
        return pd.DataFrame(found, index=predictions.index)

    def measure(self, judged: pd.DataFrame) -> dict[str, float]:
        """Return the share of targets within their interval, and the mean width, over all targets and steps."""
        inside, widths = [], []
        for ending, (low, high) in self._intervals(judged).items():
            y = judged[f"target{ending}"].to_numpy(np.float64)
            inside.append(float(((low <= y) & (y <= high)).mean()))
            widths.append(float((high - low).mean()))
        return {"conformal_coverage": float(np.mean(inside)), self.size_name: float(np.mean(widths))}

    def _intervals(self, table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        steps, found = _steps(table), {}
        for ending, limits in self.limits.items():
            low, high = _bounds(table, ending)
            low, high = low - limits[steps], high + limits[steps]
            # A negative margin moves the quantiles inwards, at most to their middle.
            middle = (low + high) / 2
            crossed = low > high
            found[ending] = np.where(crossed, middle, low), np.where(crossed, middle, high)
        return found


Conformal = ConformalSets | ConformalIntervals


def conformal_of(kind: str, table: pd.DataFrame, coverage: float) -> Conformal:
    """Return prediction sets or intervals, calibrated on rows that the model was not trained on.

    Args:
        kind: Kind of the task's targets.
        table: Targets and predictions of rows that the model was not trained on, as `Task.judged` returns them.
        coverage: The probability with which the target of a new row is to be covered.

    Raises:
        InputError: The task supports neither, the coverage is not between 0 and 1, or there are too few rows for it.
    """
    if not 0 < coverage < 1:
        raise InputError(f"{coverage:g} is not between 0 and 1", "--coverage", "Such as --coverage 0.9")
    if kind in ("binary", "multiclass") and len(_shares(table)[0]) > 1:
        return ConformalSets.of(table, coverage)
    predicted = [name for name in table.columns if str(name).startswith("prediction")]
    if (
        kind == "regression"
        and predicted
        and all(map(pd.api.types.is_numeric_dtype, table[predicted].dtypes))
    ):
        return ConformalIntervals.of(table, coverage)
    raise InputError(
        f"predictions of {kind} have no sets or intervals",
        "--coverage",
        "They are for one class out of several, numbers and forecasts: leave it out.",
    )


def _shares(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    columns = [str(name) for name in table.columns if str(name).startswith("p(")]
    return [name[2:-1] for name in columns], table[columns].to_numpy(np.float64)


def _codes(names: Sequence[str], values: pd.Series) -> np.ndarray:
    return pd.Index(names, dtype=object).get_indexer(pd.Index(values.astype(str), dtype=object))


def _steps(table: pd.DataFrame) -> np.ndarray:
    if "step" not in table:
        return np.zeros(len(table), np.int64)
    return table["step"].to_numpy(np.int64) - 1


def _bounds(table: pd.DataFrame, ending: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest predicted quantile of a target, or the prediction twice."""
    pattern = re.compile(rf"q([0-9.e+-]+){re.escape(ending)}")
    levels = {float(match[1]): name for name in map(str, table.columns) if (match := pattern.fullmatch(name))}
    names = [levels[min(levels)], levels[max(levels)]] if levels else [f"prediction{ending}"] * 2
    low, high = (table[name].to_numpy(np.float64) for name in names)
    return low, high


def _line(names: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(names)
    return written.getvalue()
