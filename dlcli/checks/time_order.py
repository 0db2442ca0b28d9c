"""Rows that are learnt from though they are later than those that judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.tables.columns import kind_of
from dlcli.errors import Problem
from dlcli.splits.order import goes_forward
from dlcli.splits.split import Split


def mixed_times(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Splits that go back in time: by the rows' times, or by a table's first column of dates where none are named.

    A series is split in time by itself.
    """
    if data.reach is not None:
        return
    if data.times is not None:
        if _mixed(data.times, splits):
            yield Problem(
                "the split mixes times: later rows train, earlier ones are judged",
                "dataset.time",
                "For new rows the figures promise too much. Choose cv=time_series, or cv=holdout cv.by_time=true.",
            )
    elif isinstance(data.x, pd.DataFrame):
        dates = [name for name in data.x.columns if kind_of(data.x[name]) == "date"]
        for name in dates[:1]:
            known = data.x[name].notna().to_numpy()
            told = [Split(*(rows[known[rows]] for rows in (s.train, s.val, s.test))) for s in splits]
            if _mixed(data.x[name].to_numpy(), told):
                yield Problem(
                    "holds dates that the split ignores: later rows train, earlier ones are judged",
                    f"column {name}",
                    f"If new rows will be later than these, split in time: dataset.time={name}.",
                )


def _mixed(times: np.ndarray, splits: Sequence[Split]) -> bool:
    """Whether any split tests or validates by rows that are not later than those that train."""
    return not all(
        goes_forward(times, Split(s.train, s.val[:0], s.test if len(s.test) else s.val)) for s in splits
    )
