"""Rows that several jobs of a process share are fitted and transformed once."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dlcli.assembly import prepared_rows
from dlcli.assembly.prepared_rows import PreparedRows, prepared_once
from dlcli.datasets.data import Data
from dlcli.preprocessing.fitted import fit_preprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Split
from dlcli.training.fields import as_fields


def data() -> Data:
    x = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) % 5})
    return Data(name="rows", kind="table", x=x, y=np.arange(12) % 2, classes=("no", "yes"))


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_rows, "_last", [])


def test_the_same_rows_and_settings_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, made = data(), []
    split = Split(np.arange(8), np.arange(8, 10), np.arange(10, 12))

    def get(settings: dict[str, object], data: Data, split: Split) -> PreparedRows:
        preprocessing = Table()

        def make() -> PreparedRows:
            made.append(settings)
            fitted = fit_preprocessing(preprocessing, data, split)
            fields = as_fields(fitted.preprocessing.transform(data.x.iloc[split.train]))
            return PreparedRows(fitted, fields, None, None)

        return prepared_once(preprocessing, settings, data, split, make)

    first = get({"scale": 1}, rows, split)
    assert get({"scale": 1}, rows, replace(split, test=split.test[:1])) is first
    assert len(made) == 1
    other = replace(split, train=np.arange(7))
    assert get({"scale": 1}, rows, other) is not first
    assert get({"scale": 2}, rows, other).fitted.rows.tolist() == list(range(7))
    assert get({"scale": 2}, data(), other) is not None
    assert len(made) == 4
    monkeypatch.setattr(prepared_rows, "_MAX_BYTES", 8)
    big = get({"scale": 3}, rows, split)
    assert get({"scale": 3}, rows, split) is not big  # larger rows are not kept


def test_the_raw_rows_are_not_held() -> None:
    rows, preprocessing = data(), Table()
    split = Split(np.arange(8), np.arange(8, 10), np.arange(10, 12))
    fitted = fit_preprocessing(preprocessing, rows, split)
    fields = as_fields(fitted.preprocessing.transform(rows.x.iloc[split.train]))
    prepared_once(preprocessing, {}, rows, split, lambda: PreparedRows(fitted, fields, None, None))
    assert len(prepared_rows._last) == 1
    held = weakref.ref(rows)
    del rows
    gc.collect()
    assert held() is None
