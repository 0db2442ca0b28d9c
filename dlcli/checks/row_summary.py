"""Short descriptions of a row: the shape of an image, the length of a text, a window of a series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from dlcli.datasets.data import Data
from dlcli.datasets.ragged import RaggedRows
from dlcli.datasets.texts import Texts
from dlcli.datasets.windows import History


def as_table(x: Any) -> pd.DataFrame:
    """Return the columns of a table, or those of the time steps of series and sequences."""
    if isinstance(x, History | RaggedRows):
        return pd.DataFrame(x.values, columns=list(x.columns))
    return x if isinstance(x, pd.DataFrame) else pd.DataFrame()


def describe_rows(data: Data) -> str:
    """Return a description of the rows, such as `images of 8 x 8 pixels, grey`."""
    x = data.x
    if isinstance(x, History):
        times = data.y.times
        span = f"{len(x.values):,} steps, {_time(times.min())} to {_time(times.max())}"
        return f"windows ({x.lookback} steps, {x.horizon} to forecast) of {span}"
    if isinstance(x, RaggedRows):
        return f"sequences of {_range(x.lengths, 'steps')}"
    if isinstance(x, Texts):
        return f"texts of {_range(pc.fill_null(pc.utf8_length(x.values), 0).to_numpy(), 'characters')}"
    if data.kind == "image":
        height, width, *channels = x.shape[1:]
        return f"images of {height} x {width} pixels, {'colour' if channels else 'grey'}"
    return "rows"


def _range(lengths: np.ndarray, unit: str) -> str:
    low, middle, high = np.quantile(lengths, (0, 0.5, 1)).round().astype(int)
    return f"{low:,} {unit}" if low == high else f"{low:,} to {high:,} {unit}, median {middle:,}"


def _time(time: Any) -> str:
    return str(pd.Timestamp(time)) if isinstance(time, np.datetime64) else f"{time:g}"
