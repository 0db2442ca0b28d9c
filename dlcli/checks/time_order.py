"""Splits whose training rows are later than their validation or test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.tables.columns import kind_of
from dlcli.errors import Problem
from dlcli.splits.split import Split, goes_forward


def find_time_leaks(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for splits that train on later rows than they evaluate on.

    The order is that of `dataset.time` or, without it, of a table's first column of dates. A series is always split in
    time.
    """
    if data.reach is not None:
        return
    if data.times is not None:
        if _mixed(data.times, splits):
            yield Problem(
                "the split ignores time: some training rows are later than evaluation rows",
                "dataset.time",
                "Metrics are too optimistic for future rows. Use cv=time_series, or cv=holdout cv.by_time=true.",
            )
    elif isinstance(data.x, pd.DataFrame):
        dates = [name for name in data.x.columns if kind_of(data.x[name]) == "date"]
        for name in dates[:1]:
            known = data.x[name].notna().to_numpy()
            dated = [Split(*(rows[known[rows]] for rows in (s.train, s.val, s.test))) for s in splits]
            if _mixed(data.x[name].to_numpy(), dated):
                yield Problem(
                    "holds dates that the split ignores: some training rows are later than evaluation rows",
                    f"column {name}",
                    f"If the model will be used on later rows, split in time: dataset.time={name}.",
                )


def _mixed(times: np.ndarray, splits: Sequence[Split]) -> bool:
    """Return whether any split has evaluation rows that are not later than its training rows."""
    return not all(
        goes_forward(times, Split(s.train, s.val[:0], s.test if len(s.test) else s.val)) for s in splits
    )
