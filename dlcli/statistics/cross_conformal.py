"""Prediction sets and intervals of an ensemble by cross-conformal prediction, CV+, from out-of-fold rows.

The score of a calibration row is compared with predictions of a new row by the same models, those that were not trained
on the calibration row. Therefore a coverage of at least 2 c - 1 is guaranteed for a requested c, up to a term of the
number of rows per fold, and c is usual: Barber, Candès, Ramdas and Tibshirani, "Predictive Inference with the
Jackknife+", Annals of Statistics 49, 2021 (theorem 4); for classes Romano, Sesia and Candès, "Classification with Valid
and Adaptive Coverage", NeurIPS 2020 (section 2.3). A row that several models hold out has their mean, as in the
jackknife+-after-bootstrap (Kim, Xu and Barber, NeurIPS 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from dlcli.statistics.conformal import (
    PredictionIntervals,
    PredictionSets,
    class_codes,
    class_shares,
    conformal_quantile,
    forecast_steps,
    predicted_bounds,
    target_endings,
    uncrossed,
)

# Halvings of the range of a bound; they reach the precision of a float.
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Group:
    """Calibration rows that the same models were not trained on.

    Attributes:
        weights: Weight of each member in the mean that predicts these rows, `(K,)`; 0 for those trained on them.
        scores: Suffix of a target's columns to sorted scores of the rows: `(G, S)` for S steps, `(G, 1)` for classes.
    """

    weights: np.ndarray
    scores: Mapping[str, np.ndarray]

    def mean(self, of_members: np.ndarray) -> np.ndarray:
        """Return the mean `(N, ...)` of the members' values `(K, N, ...)`."""
        return np.tensordot(self.weights, of_members, axes=1)


@dataclass(frozen=True, eq=False)
class CrossSets(PredictionSets):
    """Sets of the classes whose score, 1 minus the probability, does not exceed enough scores of calibration rows.

    Attributes:
        groups: The calibration rows.
    """

    groups: tuple[Group, ...]
    needs_members: ClassVar[bool] = True

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float, held_out_by: Sequence[np.ndarray]) -> CrossSets:
        """Fit to the calibration rows.

        Args:
            table: The columns `target` and `p(CLASS)`, one line per row.
            coverage: The probability.
            held_out_by: For each line the weights `(K,)` of the members that predicted it.
        """
        names, shares = class_shares(table)
        scores = 1 - shares[np.arange(len(table)), class_codes(names, table["target"])]
        conformal_quantile(scores, coverage)  # refuses too few rows
        groups = tuple(
            Group(weights, {"": np.sort(scores[lines])[:, None]})
            for weights, lines in _lines_by_members(held_out_by)
        )
        return cls(coverage, len(table), groups)

    def within(self, table: pd.DataFrame, members: Sequence[pd.DataFrame]) -> np.ndarray:
        """Return whether each class is in the set of each row, `(N, C)`."""
        shares = np.stack([class_shares(one)[1] for one in members])
        stranger = np.zeros(shares.shape[1:], np.int64)
        for group in self.groups:
            # Rounding of the mean must not increase the score of a class above an equal one.
            own = 1 - group.mean(shares) - 1e-9
            stranger += np.searchsorted(group.scores[""][:, 0], own, side="left")
        return stranger < self.coverage * (self.rows + 1)


@dataclass(frozen=True, eq=False)
class CrossIntervals(PredictionIntervals):
    """Intervals from the predictions of models that were not trained on a calibration row, plus and minus its score.

    Scores are those of `ConformalIntervals`. The upper bound is the `ceil((n + 1) coverage)`-th smallest of n such
    values, the lower bound the same from above.

    Attributes:
        groups: The calibration rows.
    """

    groups: tuple[Group, ...]
    needs_members: ClassVar[bool] = True

    @classmethod
    def of(cls, table: pd.DataFrame, coverage: float, held_out_by: Sequence[np.ndarray]) -> CrossIntervals:
        """Fit to the calibration rows.

        Args:
            table: The columns `target` and `prediction`, and `step` of forecasts, sorted by row and step.
            coverage: The probability.
            held_out_by: For each row the weights `(K,)` of the members that predicted it.
        """
        last = int(forecast_steps(table).max(initial=0)) + 1
        scores = {}
        for ending in target_endings(table):
            low, high = predicted_bounds(table, ending)
            y = table[f"target{ending}"].to_numpy(np.float64)
            found = np.maximum(low - y, y - high).reshape(-1, last)
            scores[ending] = np.where(np.isnan(found), np.inf, found)
            conformal_quantile(scores[ending], coverage)  # refuses too few rows
        groups = tuple(
            Group(weights, {name: np.sort(found[rows], axis=0) for name, found in scores.items()})
            for weights, rows in _lines_by_members(held_out_by)
        )
        return cls(coverage, len(table) // last, groups)

    def intervals(
        self, table: pd.DataFrame, members: Sequence[pd.DataFrame]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the lower and upper bounds `(N,)` by the suffix of a target's columns."""
        steps, found = forecast_steps(table), {}
        rank = math.ceil((self.rows + 1) * self.coverage - 1e-9)
        for ending in self.groups[0].scores:
            bounds = [predicted_bounds(one, ending) for one in members]
            low, high = (np.stack([pair[side] for pair in bounds]) for side in (0, 1))
            lower, upper = np.empty(len(table)), np.empty(len(table))
            for step in np.unique(steps):
                lines = steps == step
                scores = [group.scores[ending][:, step] for group in self.groups]
                upper[lines] = _smallest([g.mean(high[:, lines]) for g in self.groups], scores, rank)
                lower[lines] = -_smallest([-g.mean(low[:, lines]) for g in self.groups], scores, rank)
            found[ending] = uncrossed(lower, upper)
        return found


def _lines_by_members(held_out_by: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the distinct weights, each normalized, and the lines that have them."""
    distinct, which = np.unique(np.stack(held_out_by), axis=0, return_inverse=True)
    which = which.reshape(-1)
    return [(one / one.sum(), np.flatnonzero(which == place)) for place, one in enumerate(distinct)]


def _smallest(centers: Sequence[np.ndarray], scores: Sequence[np.ndarray], rank: int) -> np.ndarray:
    """Return the `rank`-th smallest of all sums of a group's center and one of its scores, `(N,)`, by bisection.

    Args:
        centers: For each group its value for each row, `(N,)`.
        scores: For each group its scores, sorted.
        rank: From 1 to the number of scores.
    """
    pairs = [(center, own) for center, own in zip(centers, scores, strict=True) if np.isfinite(own).any()]
    if sum(np.isfinite(own).sum() for own in scores) < rank:
        return np.full(len(centers[0]), np.inf)
    centers, scores = [center for center, _ in pairs], [own for _, own in pairs]
    low = np.min([center + own[0] for center, own in zip(centers, scores, strict=True)], axis=0)
    last = [float(own[np.isfinite(own)].max(initial=own[0])) for own in scores]
    high = np.max([center + own for center, own in zip(centers, last, strict=True)], axis=0)
    low = np.nextafter(low, -np.inf)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        count = np.zeros(len(middle), np.int64)
        for center, own in zip(centers, scores, strict=True):
            count += np.searchsorted(own, middle - center, side="right")
        enough = count >= rank
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return high
