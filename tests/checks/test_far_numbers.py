"""Numbers beside which all others of a column vanish are reported."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlcli.checks.far_numbers import find_far_numbers
from dlcli.datasets.windows import History


def test_a_number_beside_which_all_others_vanish_is_reported() -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3, 1e30], "b": [1.0, 2, 3, 1e6], "c": [0.0, 0, 0, 1e6]})
    (problem,) = find_far_numbers(table, table)
    assert (problem.where, problem.message[:6]) == ("column a", "1e+30 ")


def test_numbers_that_are_mostly_equal_are_compared_too() -> None:
    zeros = np.zeros(95)
    table = pd.DataFrame({
        "alone": [*zeros, 0, 0, 0, 0, 1e30],
        "twice": [*zeros, 0, 0, 0, 1e30, 1e30],
        "some": [*zeros, 1, 2, 3, 5, 1e12],
        "intermittent": [*zeros, 1, 2, 3, 5, 10],
        "indicator": [*zeros, 0, 0, 0, 1, 1],
        "amount": [*zeros, 0, 0, 0, 0, 5e7],
        "constant": [*zeros, 0, 0, 0, 0, 0],
    })  # fmt: skip
    found = [problem.where for problem in find_far_numbers(table, table)]
    assert found == ["column alone", "column twice", "column some"]


def test_a_series_is_compared_as_a_whole() -> None:
    values = np.stack([np.arange(40.0), np.arange(40.0)], axis=1)
    values[7, 1] = -1e20
    series = History(values, np.arange(5, 35), 5, columns=("v", "w"), lookback=5, targets=1)
    (problem,) = find_far_numbers(pd.DataFrame(), series)
    assert problem.where == "variable w"
