"""Report values that may denote something else: -999 for a missing value, 1 next to yes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from dlcli.config.pasted import is_key, pasted, pasted_for_column
from dlcli.datasets.notices import Notice
from dlcli.formatting import number

# Usual sentinels of a missing value, below and above the other values.
_BELOW = (-1, -9, -99, -999, -9999, -99999)
_ABOVE = (999, 9999, 99999, 999999)

# Minimum ratio of a sentinel to the largest other value.
_FAR = 2

# Usual pairs of words for true and false.
_PAIRS = (
    ("1", "0"),
    ("yes", "no"),
    ("y", "n"),
    ("true", "false"),
    ("t", "f"),
    ("ja", "nein"),
    ("oui", "non"),
    ("si", "no"),
    ("on", "off"),
)
_TRUE = {word for word, _ in _PAIRS}

# Number of rows that are examined first, and maximum number of distinct words of a boolean column.
_FIRST, _WORDS = 1000, 12


def stand_ins(
    frame: pd.DataFrame,
    names: Collection[str] | None = None,
    missing: Sequence[str | float] | Mapping[str, Sequence[str | float]] | None = None,
) -> list[Notice]:
    """Return notices on numbers that may denote a missing value, and on booleans in several spellings.

    Args:
        frame: columns whose cells have been read.
        names: the columns to examine; None for all.
        missing: the current setting `dataset.missing_values`, which the advice extends.
    """
    numbers, words = [], []
    for name in map(str, frame.columns if names is None else names):
        values = frame[name]
        if pd.api.types.is_bool_dtype(values.dtype):
            continue
        if pd.api.types.is_numeric_dtype(values.dtype):
            numbers += [(name, *found) for found in _sentinels(values)]
        elif not pd.api.types.is_datetime64_any_dtype(values.dtype):
            words += [(name, *found) for found in _ways(values)]
    notices = []
    if numbers:
        told = "; ".join(
            f"{_shown(value)} in {rows:,} rows of {name}, otherwise {_shown(low)} to {_shown(high)}"
            for name, value, rows, low, high in numbers
        )
        found = [(name, value) for name, value, *_ in numbers]
        setting = _setting(found, missing)
        rows = sum(rows for _, _, rows, _, _ in numbers)
        where = f"column {found[0][0]}"
        text = f"may denote a missing value: {told}"
        notices.append(Notice("sentinels", rows, text, where, f"If it does: {setting}"))
    if words:
        told = "; ".join(f"{name} ({', '.join(spelt[:-1])} and {spelt[-1]})" for name, spelt, _ in words)
        rows = sum(rows for *_, rows in words)
        hint = "They are different categories or classes: write them in one way if they mean the same."
        where = f"column {words[0][0]}"
        most = "two" if all(len(spelt) == 2 for _, spelt, _ in words) else "several"
        text = f"yes and no have {most} spellings: {told}"
        notices.append(Notice("mixed_booleans", rows, text, where, hint))
    return notices


def _setting(
    found: Sequence[tuple[str, float]],
    missing: Sequence[str | float] | Mapping[str, Sequence[str | float]] | None,
) -> str:
    """Return the setting that also reads these numbers as missing."""
    key = "dataset.missing_values"
    if missing is not None and not isinstance(missing, Mapping):
        more = [value for value in dict.fromkeys(value for _, value in found) if value not in missing]
        return f"{pasted(key, [*missing, *more])} (for all columns)"
    of = {name: list(words) for name, words in (missing or {}).items()}
    for name, value in found:
        if is_key(name):
            of[name] = [*of.get(name, ()), value]
    if missing or all(is_key(name) for name, _ in found):
        return pasted(key, of)
    name, value = found[0]
    return pasted_for_column(key, name, [value])


def _shown(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else number(value)


def _sentinels(values: pd.Series) -> Iterator[tuple[float, int, float, float]]:
    """Yield a value far from all others, its number of rows, and the smallest and largest other value."""
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
        if value >= -9 and rows == 1:  # may be a measured value
            below = below and bool((others == np.floor(others)).all())
        is_far = rows > 1 and abs(value) > 9 and max(abs(low), abs(high)) * _FAR <= abs(value)
        if below or is_far:
            yield float(value), rows, low, high


def _ways(values: pd.Series) -> Iterator[tuple[list[str], int]]:
    """Yield examples of several spellings of a boolean, and the number of rows without the most frequent one."""
    if values.head(_FIRST).nunique() > _WORDS:
        return
    counts = values.value_counts()
    counts = counts.groupby(counts.index.astype(str).str.casefold()).sum()
    if len(counts) > _WORDS:
        return
    found = [(set(pair) & set(counts.index), set(pair)) for pair in _PAIRS]
    # A single letter is ambiguous unless its opposite occurs.
    found = [(way, pair) for way, pair in found if way == pair or any(len(w) > 1 or w in "10" for w in way)]
    ways: list[set[str]] = []
    for way, _ in sorted(found, key=lambda one: -len(one[0])):  # of yes and no, no is not that of si and no
        if not any(way & other for other in ways):
            ways.append(way)
    if len(ways) > 1 and set(counts.index) <= set[str]().union(*ways) | {"nan", "<na>", "none"}:
        order = [way for way, _ in reversed(found) if way in ways]
        rows = sorted(int(counts[list(way)].sum()) for way in ways)
        yield [max(way, key=_TRUE.__contains__) for way in order], sum(rows[:-1])
