"""Values that may stand for something else: -999 for a missing value, 1 beside yes. They are told, not converted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dlcli.config.pasted import is_key, pasted, pasted_for_column
from dlcli.datasets.notices import Notice

# Usual stand-ins for a missing value below and above the other values.
_BELOW = (-1, -9, -99, -999, -9999, -99999)
_ABOVE = (999, 9999, 99999, 999999)

# How many times as large as all others a value is that stands for something else.
_FAR = 2

# The two values of a boolean, as people write them.
_PAIRS = (
    {"1", "0"},
    {"yes", "no"},
    {"y", "n"},
    {"true", "false"},
    {"t", "f"},
    {"ja", "nein"},
    {"oui", "non"},
    {"si", "no"},
    {"on", "off"},
)

# Rows that are looked at before all of them, and distinct words beyond which a column is no boolean.
_FIRST, _WORDS = 1000, 12


def stand_ins(frame: pd.DataFrame) -> list[Notice]:
    """Return the notices on numbers that may denote a missing value, and on booleans that are written in two ways.

    Args:
        frame: columns whose cells have been read.
    """
    numbers, words = [], []
    for name in map(str, frame.columns):
        values = frame[name]
        if pd.api.types.is_bool_dtype(values.dtype):
            continue
        if pd.api.types.is_numeric_dtype(values.dtype):
            numbers += [(name, *found) for found in _sentinels(values)]
        elif not pd.api.types.is_datetime64_any_dtype(values.dtype):
            words += [(name, *found) for found in _two_pairs(values)]
    notices = []
    if numbers:
        told = "; ".join(f"{shown:g} in {rows:,} rows of {name}, otherwise {low:g} to {high:g}"
                         for name, shown, rows, low, high in numbers)  # fmt: skip
        first, shown = numbers[0][:2]
        of = {name: [float(value)] for name, value, *_ in numbers if is_key(name)}
        setting = pasted("dataset.missing_values", of) if len(of) == len({name for name, *_ in numbers}) else (
            pasted_for_column("dataset.missing_values", first, [float(shown)]))  # fmt: skip
        rows = sum(rows for _, _, rows, _, _ in numbers)
        where = f"column {first}"
        text = f"may stand for a missing value: {told}"
        notices.append(Notice("sentinels", rows, text, where, f"If it does: {setting}"))
    if words:
        told = "; ".join(f"{name} ({first} and {second})" for name, first, second, _ in words)
        rows = sum(rows for *_, rows in words)
        hint = "They are different categories or classes: write them in one way if they mean the same."
        where = f"column {words[0][0]}"
        text = f"yes and no are written in two ways: {told}"
        notices.append(Notice("mixed_booleans", rows, text, where, hint))
    return notices


def _sentinels(values: pd.Series) -> Iterator[tuple[float, int, float, float]]:
    """Yield a value far from all others, its rows, and the least and greatest other value."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(numbers).any():
        return
    for value, sentinels in ((np.nanmin(numbers), _BELOW), (np.nanmax(numbers), _ABOVE)):
        if value not in sentinels:
            continue
        others = numbers[(numbers != value) & np.isfinite(numbers)]
        if len(others) < 2:
            continue
        low, high, rows = float(others.min()), float(others.max()), int((numbers == value).sum())
        below = value < 0 and low >= 0 and high > 1  # not a sign, such as -1, 0 and 1
        is_far = rows > 1 and abs(value) > 9 and max(abs(low), abs(high)) * _FAR <= abs(value)
        if below or is_far:
            yield float(value), rows, low, high


def _two_pairs(values: pd.Series) -> Iterator[tuple[str, str, int]]:
    """Yield examples of two ways of writing a boolean, and the number of rows of the rarer one."""
    if values.head(_FIRST).nunique() > _WORDS:
        return
    counts = values.value_counts()
    counts = counts.groupby(counts.index.astype(str).str.casefold()).sum()
    if len(counts) > _WORDS:
        return
    found = ((pair & set(counts.index), pair) for pair in _PAIRS)
    # A single letter may mean anything, unless its opposite is there.
    ways = [(way, pair) for way, pair in found if way == pair or any(len(w) > 1 or w in "10" for w in way)]
    for number, (one, pair) in enumerate(ways):
        for other, second in ways[number + 1 :]:
            if pair.isdisjoint(second) and set(counts.index) <= {*pair, *second, "nan", "<na>", "none"}:
                rows = [int(counts[list(way)].sum()) for way in (one, other)]
                yield sorted(other)[-1], sorted(one)[-1], min(rows)
                return
