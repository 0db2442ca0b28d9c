"""Choose prediction sets or intervals by the kind of the targets and the method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from dlcli.errors import InputError
from dlcli.statistics.conformal import Conformal, ConformalIntervals, ConformalSets, class_shares
from dlcli.statistics.cross_conformal import CrossIntervals, CrossSets

ConformalMethod = Literal["plain", "plus", "adaptive"]


def conformal_of(
    kind: str,
    table: pd.DataFrame,
    coverage: float,
    method: ConformalMethod = "plain",
    held_out_by: Sequence[np.ndarray] = (),
) -> Conformal:
    """Return prediction sets or intervals, calibrated on rows that the model was not trained on.

    Args:
        kind: Kind of the task's targets.
        table: Targets and predictions of rows that the model was not trained on, as `Task.judged` returns them.
        coverage: The probability with which the target of a new row is to be covered.
        method: `plain`, `adaptive` sets, or `plus`, CV+.
        held_out_by: For `plus`, the weights `(K,)` of the members that predicted a row, for each row.

    Raises:
        InputError: The task does not support it, the coverage is not between 0 and 1, or there are too few rows for it.
    """
    if not 0 < coverage < 1:
        raise InputError(f"{coverage:g} is not between 0 and 1", "--coverage", "Such as --coverage 0.9")
    if kind in ("binary", "multiclass") and len(class_shares(table)[0]) > 1:
        if method == "plus":
            return CrossSets.of(table, coverage, held_out_by)
        return ConformalSets.of(table, coverage, adaptive=method == "adaptive")
    predicted = [name for name in table.columns if str(name).startswith("prediction")]
    if (
        kind == "regression"
        and predicted
        and all(map(pd.api.types.is_numeric_dtype, table[predicted].dtypes))
    ):
        if method == "adaptive":
            raise InputError(
                "adaptive sets are sets of classes",
                "--conformal",
                "Intervals whose width depends on the row follow from several quantiles: train with task/loss=quantile "
                "'task.loss.quantiles=[0.05,0.5,0.95]', and leave --conformal out.",
            )
        if method == "plus":
            return CrossIntervals.of(table, coverage, held_out_by)
        return ConformalIntervals.of(table, coverage)
    raise InputError(
        f"predictions of {kind} have no sets or intervals",
        "--coverage",
        "They are for one class out of several, numbers and forecasts: leave it out.",
    )
