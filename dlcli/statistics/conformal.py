"""Conformal prediction: sets of classes and intervals of numbers that contain the target with a given probability.

The coverage is marginal: it is guaranteed on average over new rows, not for each kind of row, if the rows are
exchangeable with the calibration rows (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).
"""

from __future__ import annotations

import csv
import io
import math
import re
from abc import ABC, abstractmethod
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
            f"With {len(scores):,} rows, the coverage is at most {len(scores) / (len(scores) + 1):.3g}: lower it, or "
            "train with more validation rows (cv.val_size), or in folds (cv=kfold).",
        )
    rank = math.ceil((len(scores) + 1) * coverage - _ROUNDING)
    return np.partition(np.where(np.isnan(scores), np.inf, scores), rank - 1, axis=0)[rank - 1]


# Ranges of the measured figures.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "conformal_coverage": (0, 1),
    "conformal_set_size": (0, None),
    "conformal_width": (0, None),
}


@dataclass(frozen=True, eq=False)
class Conformal(ABC):
    """Prediction sets or intervals that have been calibrated.

    Attributes:
        coverage: The requested probability; for numbers of each target and step.
        rows: Number of calibration rows.
        needs_members: Whether they are computed from the predictions of an ensemble's members.
        size_name: Metric of the mean size.
    """

    coverage: float
    rows: int
    needs_members: ClassVar[bool] = False
    size_name: ClassVar[str]

    @abstractmethod
    def columns(self, predictions: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
        """Return the columns to add to predictions: `set`, or `low` and `high` of each target.

        Args:
            predictions: Predictions of the model.
            members: Those of each member of an ensemble.
        """

    @abstractmethod
    def measure(self, judged: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> dict[str, float]:
        """Return the share of targets that are covered, `conformal_coverage`, and the mean size.

        Args:
            judged: Predictions of the model with their targets.
            members: Predictions of each member of an ensemble.
        """


class PredictionSets(Conformal):
    """Sets of classes. The predicted class is always in the set, which can only increase the coverage.

    Otherwise the set of a row without a probable class would be empty.
    """

    size_name: ClassVar[str] = "conformal_set_size"

    @abstractmethod
    def within(self, table: pd.DataFrame, members: Sequence[pd.DataFrame]) -> np.ndarray:
        """Return whether each class is in the set of each row, `(N, C)`."""

    def columns(self, predictions: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
        """Return the column `set`: the names of the classes as one line of CSV."""
        names, _ = class_shares(predictions)
        patterns, which = np.unique(self._whole(predictions, members), axis=0, return_inverse=True)
        texts = [_line([name for name, inside in zip(names, row, strict=True) if inside]) for row in patterns]
        return pd.DataFrame(
            {"set": np.array(texts, dtype=object)[which.reshape(-1)]}, index=predictions.index
        )

    def measure(self, judged: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> dict[str, float]:
        """Return the share of rows whose class is in their set, and the mean number of classes of a set."""
        names, _ = class_shares(judged)
        within = self._whole(judged, members)
        hits = within[np.arange(len(judged)), class_codes(names, judged["target"])]
        return {"conformal_coverage": float(hits.mean()), self.size_name: float(within.sum(axis=1).mean())}

    def _whole(self, table: pd.DataFrame, members: Sequence[pd.DataFrame]) -> np.ndarray:
        names, _ = class_shares(table)
        within = self.within(table, members)
        within[np.arange(len(table)), class_codes(names, table["prediction"])] = True
        return within


@dataclass(frozen=True, eq=False)
class ConformalSets(PredictionSets):
    """The classes whose score is at most that of the calibration rows' true classes.

    Attributes:
        limit: Maximum score of the classes in a set.
        adaptive: Whether the score is that of `adaptive_scores` instead of 1 minus the probability (Sadinle, Lei and
            Wasserman, JASA 114, 2019).
    """

    limit: float
    adaptive: bool = False

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float, *, adaptive: bool = False) -> ConformalSets:
        """Fit to the calibration rows: a table with the columns `target` and `p(CLASS)`, one line per row."""
        names, shares = class_shares(table)
        scores = adaptive_scores(shares) if adaptive else 1 - shares
        own = scores[np.arange(len(table)), class_codes(names, table["target"])]
        return cls(coverage, len(table), float(conformal_quantile(own, coverage)), adaptive)

    def within(self, table: pd.DataFrame, members: Sequence[pd.DataFrame]) -> np.ndarray:
        """Return whether each class is in the set of each row, `(N, C)`."""
        _, shares = class_shares(table)
        return (adaptive_scores(shares) if self.adaptive else 1 - shares) <= self.limit


def adaptive_scores(shares: np.ndarray) -> np.ndarray:
    """Return the probability of all more probable classes plus half of a class's own, `(N, C)`.

    Sets by this score are small for easy rows and large for hard ones (adaptive prediction sets: Romano, Sesia and
    Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020). There the own probability is multiplied by
    a random number; its mean, 1/2, gives the same sets each time, and the coverage is that of any fixed score.

    Args:
        shares: Probabilities of the classes, `(N, C)`.
    """
    order = np.argsort(-shares, axis=1, kind="stable")
    sorted_shares = np.take_along_axis(shares, order, axis=1)
    scores = np.empty_like(shares)
    np.put_along_axis(scores, order, sorted_shares.cumsum(axis=1) - sorted_shares / 2, axis=1)
    return scores


class PredictionIntervals(Conformal):
    """Intervals of numbers, for each target and each step of a forecast."""

    size_name: ClassVar[str] = "conformal_width"

    @abstractmethod
    def intervals(
        self, table: pd.DataFrame, members: Sequence[pd.DataFrame]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the lower and upper bounds `(N,)` by the suffix of a target's columns."""

    def columns(self, predictions: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
        """Return the columns `low` and `high`; with several targets `low(TARGET)` and so on."""
        found = {}
        for ending, (low, high) in self.intervals(predictions, members).items():
            found[f"low{ending}"], found[f"high{ending}"] = low, high
        return pd.DataFrame(found, index=predictions.index)

    def measure(self, judged: pd.DataFrame, members: Sequence[pd.DataFrame] = ()) -> dict[str, float]:
        """Return the share of targets within their interval, and the mean width, over all targets and steps."""
        inside, widths = [], []
        for ending, (low, high) in self.intervals(judged, members).items():
            y = judged[f"target{ending}"].to_numpy(np.float64)
            inside.append(float(((low <= y) & (y <= high)).mean()))
            widths.append(float((high - low).mean()))
        return {"conformal_coverage": float(np.mean(inside)), self.size_name: float(np.mean(widths))}


@dataclass(frozen=True, eq=False)
class ConformalIntervals(PredictionIntervals):
    """Prediction intervals: the prediction plus and minus a margin, or quantiles that are moved by a margin.

    The score of a row is its absolute error. With several quantiles, it is the distance of the target from the range
    between the lowest and the highest one, negative within the range (Romano, Patterson and Candès, "Conformalized
    Quantile Regression", NeurIPS 2019, equation 6). Several targets, and the steps of a forecast, are calibrated
    separately.

    Attributes:
        limits: Suffix of the target's columns to the maximum score in the interval of each step, `(S,)`.
    """

    limits: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float) -> ConformalIntervals:
        """Fit to the calibration rows: a table with the columns `target` and `prediction`, and `step` of forecasts."""
        steps = forecast_steps(table)
        order = np.argsort(steps, kind="stable")
        last = int(steps.max(initial=0)) + 1
        limits = {}
        for ending in target_endings(table):
            low, high = predicted_bounds(table, ending)
            y = table[f"target{ending}"].to_numpy(np.float64)
            scores = np.maximum(low - y, y - high)[order].reshape(last, -1)
            limits[ending] = conformal_quantile(scores.T, coverage)
        return cls(coverage, len(table) // last, limits)

    def intervals(
        self, table: pd.DataFrame, members: Sequence[pd.DataFrame]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the lower and upper bounds `(N,)` by the suffix of a target's columns."""
        steps, found = forecast_steps(table), {}
        for ending, limits in self.limits.items():
            low, high = predicted_bounds(table, ending)
            found[ending] = uncrossed(low - limits[steps], high + limits[steps])
        return found


def uncrossed(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds `(N,)`; those that crossed, because a negative margin moved both inwards, are their middle."""
    middle, crossed = (low + high) / 2, low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)


def target_endings(table: pd.DataFrame) -> list[str]:
    """Return the suffixes of the targets' columns: an empty one for a single target, else `(TARGET)`."""
    return [str(n).removeprefix("prediction") for n in table.columns if str(n).startswith("prediction")]


def class_shares(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Return the names of the classes and their probabilities, `(N, C)`."""
    columns = [str(name) for name in table.columns if str(name).startswith("p(")]
    return [name[2:-1] for name in columns], table[columns].to_numpy(np.float64)


def class_codes(names: Sequence[str], values: pd.Series) -> np.ndarray:
    """Return the positions of classes among names, `(N,)`."""
    return pd.Index(names, dtype=object).get_indexer(pd.Index(values.astype(str), dtype=object))


def forecast_steps(table: pd.DataFrame) -> np.ndarray:
    """Return the step of a forecast of each line, from 0."""
    if "step" not in table:
        return np.zeros(len(table), np.int64)
    return table["step"].to_numpy(np.int64) - 1


def predicted_bounds(table: pd.DataFrame, ending: str) -> tuple[np.ndarray, np.ndarray]:
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
