"""The worst rows, and intervals of figures on rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dlcli.page.blocks import Estimate, cell_text
from dlcli.page.worst_rows import judge_rows
from dlcli.statistics.of_rows import mean_interval, wilson_interval


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (3, 7), (30, 30), (700, 1000)])
def test_the_interval_of_a_share_is_wilsons(hits: int, rows: int) -> None:
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert wilson_interval(hits, rows) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).exponential(size=500)
    expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)


def test_misclassified_rows_the_surest_first() -> None:
    table = pd.DataFrame(
        {
            "row": [7, 8, 9, 10],
            "target": ["a", "a", "b", "b"],
            "prediction": ["a", "b", "a", "b"],
            "p(a)": [0.9, 0.4, 0.8, 0.1],
            "p(b)": [0.1, 0.6, 0.2, 0.9],
        }
    )
    found = judge_rows(table, {"accuracy": 0.5}, "final test rows")
    assert found.worst is not None
    assert found.worst.heading == ("row", "target", "prediction", "p(prediction)", "p(target)")
    assert found.worst.rows == ((9, "b", "a", 0.8, 0.2), (8, "a", "b", 0.6, 0.4))
    assert found.worst.note == "2 of 4 predictions are wrong."
    assert found.intervals == {"accuracy": wilson_interval(2, 4)}
    assert judge_rows(table, {"accuracy": 0.75}, "rows").intervals == {}, "not the recorded figure"
    right = judge_rows(table[table["target"] == table["prediction"]], {}, "rows")
    assert (right.worst, right.remark) == (None, "All 2 predictions are right.")


def test_seeds_are_not_independent_rows() -> None:
    table = pd.DataFrame(
        {"row": [1, 1], "fold": 0, "repeat": [0, 1], "target": ["a", "a"], "prediction": ["a", "b"]}
    )
    found = judge_rows(table, {"accuracy": 0.5}, "held-out rows")
    assert found.intervals == {}
    assert found.worst is not None
    assert found.worst.heading[:3] == ("row", "fold", "repeat")
    assert cell_text(found.worst.rows[0][-1]) == "nan"


def test_rows_with_the_largest_errors_and_intervals_of_the_metrics() -> None:
    table = pd.DataFrame({"row": [1, 2, 3], "target": [1.0, 2.0, 3.0], "prediction": [1.5, 2.0, 0.0]})
    found = judge_rows(table, {"mae": 3.5 / 3, "mse": 9.25 / 3, "rmse": (9.25 / 3) ** 0.5}, "final test rows")
    assert found.worst is not None
    assert found.worst.rows[0] == (3, 3.0, 0.0, -3.0)
    assert set(found.intervals) == {"mae", "mse", "rmse"}
    low, high = found.intervals["rmse"]
    assert low < (9.25 / 3) ** 0.5 < high
    assert Estimate(1.0, low, high).has_interval


def test_several_targets_and_labels() -> None:
    errors = pd.DataFrame(
        {"row": [1, 2], "target(x)": [0.0, 1.0], "prediction(x)": [0.0, 9.0], "target(y)": [5.0, 6.0],
         "prediction(y)": [5.0, 6.0]}
    )  # fmt: skip
    worst = judge_rows(errors, {}, "rows").worst
    assert worst is not None and worst.rows[0][0] == 2
    labels = pd.DataFrame({"row": [1, 2], "target(x)": [0, 1], "prediction(x)": [0, 0], "p(x)": [0.2, 0.3]})
    worst = judge_rows(labels, {}, "rows").worst
    assert worst is not None and worst.rows == ((2, "x", pytest.approx(0.3)),)
    assert judge_rows(pd.DataFrame({"row": [1], "odd": [2]}), {}, "rows").worst is None
