"""Tests of rows that a model was trained on; duplicates across parts of a split are tested with the profile."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dlcli.checks.leaks import trained_before
from dlcli.datasets.data import Data
from dlcli.datasets.text_rows import Texts


@pytest.mark.parametrize(
    ("kind", "old", "new", "again"),
    [
        ("table", {"a": [1, 2, 3], "b": ["x", "y", "z"]}, {"b": ["x", "y", "x"], "a": [1.0, None, 3.0]}, 1),
        ("table", {"a": [1, 2, 3], "b": ["x", "y", "z"]}, {"a": [7, 8], "b": ["x", "y"]}, 0),
        ("tokens", ["one", "two", "three"], ["two", "ONE"], 1),
    ],
)
def test_rows_are_compared_by_their_values(kind: str, old: object, new: object, again: int) -> None:
    def made(x: object) -> Data:
        rows = pd.DataFrame(x) if kind == "table" else Texts.of(x)
        return Data("t", kind, rows, np.zeros(len(rows), dtype=np.int64), classes=("a", "b"))

    found = trained_before(made(new), made(old), np.arange(2), "new.csv")
    assert sum(notice.count for notice in found) == again
