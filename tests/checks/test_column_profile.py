"""Summary statistics of columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dlcli.checks import distinct_values
from dlcli.checks.column_profile import describe_columns


def test_distinct_values_of_large_columns_are_those_that_pandas_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    numbers = np.round(random.standard_normal(500), 1)
    frame = pd.DataFrame(
        {
            "float": np.where(random.random(500) < 0.1, np.nan, numbers * np.array([1.0, -1.0] * 250)),
            "int": random.integers(0, 40, 500),
            "flag": random.random(500) < 0.5,
            "date": pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 60, 500), "D")),
            "word": random.choice(["a", "b", "c"], 500),
        }
    )
    frame.loc[:2, "date"] = pd.NaT
    small = describe_columns(frame)
    monkeypatch.setattr(distinct_values, "_MANY", 10)
    monkeypatch.setattr(distinct_values, "_FEW", 0)
    assert describe_columns(frame) == small
    assert [column.distinct for column in small] == frame.nunique().tolist()
