"""The number of distinct values of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.checks import distinct_values
from dlcli.checks.distinct_values import count_distinct


@pytest.mark.parametrize("few", [0, 1_250])
@pytest.mark.parametrize("in_bucket", [3, 14])
def test_the_number_is_that_of_pandas(few: int, in_bucket: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_MANY": 10, "_FEW": few, "_IN_BUCKET": in_bucket, "_BLOCK": 50}.items():
        monkeypatch.setattr(distinct_values, name, value)
    random = np.random.default_rng(0)
    numbers = random.standard_normal(3000)
    columns: dict[str, Any] = {
        "distinct": numbers,
        "rounded": numbers.round(1),
        "signed zeros": np.where(numbers > 0, 0.0, -0.0),
        "zeros and others": np.where(numbers > 0, numbers, 0.0),
        "infinite": np.where(numbers > 1, np.inf, numbers.round(2)),
        "single": numbers.astype(np.float32),
        "constant": np.ones(3000),
        "sequence": np.arange(3000),
        "negative": -np.arange(3000, dtype=np.int32) // 2,
        "largest": random.integers(0, 1 << 63, 3000, dtype=np.uint64) * np.uint64(2),
        "small": random.integers(-100, 100, 3000).astype(np.int8),
        "dates": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 900, 3000), "D"),
    }
    for name, values in columns.items():
        column = pd.Series(values)
        assert count_distinct(column) == column.nunique(), name
