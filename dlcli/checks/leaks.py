"""Columns that give the target away, and rows that are trained on and judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.tables.columns import kind_of
from dlcli.datasets.texts import Texts
from dlcli.errors import Problem
from dlcli.splits.split import Split

# Rows that show whether a sum of two columns is the target; those that pass are looked at in full.
_FEW = 64

# From this correlation on a column is the target in another unit.
_SAME = 0.9999

# The share of judged rows that are trained on from which on it matters.
_MANY = 0.05

# What rows are called, and how they are compared.
_EQUAL = {
    "table": ("rows", "value for value"),
    "tokens": ("texts", "letter for letter"),
    "image": ("images", "pixel for pixel"),
}


def repeated_rows(data: Data, split: Split) -> Iterator[Problem]:
    """Test or validation rows that are also among the training rows, but for their targets."""
    codes = _codes(data.x)
    if codes is None:
        return
    trained = codes[split.train]
    for part, rows in (("test", split.test), ("validation", split.val)):
        again = int(np.isin(codes[rows], trained).sum())
        if again and again >= _MANY * len(rows):
            noun, how = _EQUAL[data.kind]
            yield Problem(
                f"{again:,} of {len(rows):,} {part} {noun} are also among the training {noun}, {how}",
                "dataset",
                f"Figures on them are too good. Remove the duplicates{_together(data.x)}.",
            )
            return  # once is enough


def _together(x: Any) -> str:
    """What else to do about rows that are equal; a column of texts is a column of groups, too."""
    if isinstance(x, Texts) and x.name:
        own = f"dataset=text dataset.text={x.name} dataset.group={x.name}"
        return f", or keep equal ones together: {own} (and cv=group_kfold for folds)"
    if isinstance(x, pd.DataFrame):
        return ", or keep them together: dataset.group and cv=group_kfold"
    return ""


def _codes(x: Any) -> np.ndarray | None:
    """A number for each row `(N,)`, equal where rows are; None where that would take long, or rows overlap anyway."""
    if isinstance(x, pd.DataFrame):
        return pd.util.hash_pandas_object(x, index=False).to_numpy()
    if isinstance(x, Texts):
        return np.fromiter(map(hash, x), dtype=np.int64, count=len(x))
    if isinstance(x, np.ndarray) and x.dtype == np.uint8:
        digests = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest() for image in x)
        return np.frombuffer(b"".join(digests), dtype=np.uint64)
    return None


def torn_groups(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Groups of which one part of a split learns what it is judged by in another; series are split in time."""
    if data.groups is None or data.reach is not None:
        return
    names, codes = np.unique(data.groups, return_inverse=True)
    for split in splits:
        there = np.zeros((3, len(names)), dtype=bool)
        for part, rows in enumerate((split.train, split.val, split.test)):
            there[part, codes[rows]] = True
        torn = np.flatnonzero(there.sum(axis=0) > 1)
        if len(torn):
            yield Problem(
                f"{len(torn):,} of {len(names):,} groups are in two parts of a split, such as {names[torn[0]]}",
                "dataset.group",
                "Rows of one group then train and judge. Choose cv=group_kfold or cv=holdout.",
            )
            return  # once is enough


def giveaways(x: pd.DataFrame, data: Data, rows: np.ndarray) -> Iterator[Problem]:
    """Columns that tell the target alone, or as the sum or difference of two; `x` are the given rows."""
    y = data.y[rows]
    numbers = {
        str(name): x[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in x.columns
        if kind_of(x[name]) == "numeric"
    }
    if data.target_kind == "regression":
        for target, values in zip(data.targets, y.reshape(len(y), -1).T, strict=True):
            alone = [name for name, column in numbers.items() if _same(column, values)]
            yield from (_given_away([name], target, "is the target in another unit") for name in alone)
            others = {name: column for name, column in numbers.items() if name not in alone}
            yield from (_given_away(found, target, "is the target") for found in _sums(others, values))
    elif data.target_kind in ("binary", "multiclass"):
        for name in x.columns:
            if _separates(x[name], y):
                yield _given_away([str(name)], "", "tells the class of every row alone")


def _given_away(what: Sequence[str], target: str, how: str) -> Problem:
    return Problem(
        f"{' '.join(what)} {how}",
        f"target {target}".strip(),
        f"If it is not known beforehand, leave it out: dataset.drop=[{', '.join(what[::2])}].",
    )


def _same(column: np.ndarray, values: np.ndarray) -> bool:
    known = ~np.isnan(column)
    a, b = column[known], values[known]
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return False
    return abs(float(np.corrcoef(a, b)[0, 1])) > _SAME


def _sums(columns: dict[str, np.ndarray], values: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Pairs whose sum, or difference, is the target in every row."""
    names = list(columns)
    if len(names) < 2:
        return
    few = np.stack([columns[name][:_FEW] for name in names], axis=1)
    for first, name in enumerate(names):
        # target = a + b where target - a is b; target = a - b where a - target is b.
        for sign, rest in (("+", values[:_FEW] - few[:, first]), ("-", few[:, first] - values[:_FEW])):
            close = np.isclose(few, rest[:, None], rtol=1e-9, atol=1e-9).all(axis=0)
            for second in np.flatnonzero(close):
                if second == first or (sign == "+" and second < first):
                    continue
                other = columns[names[second]]
                whole = columns[name] + other if sign == "+" else columns[name] - other
                # A column that is always 0 adds nothing: the other is then the target by itself.
                if np.allclose(whole, values, rtol=1e-9, atol=1e-9) and other.any():
                    yield name, sign, names[second]


def _separates(values: pd.Series, y: np.ndarray) -> bool:
    """Whether each value has one class; of numbers, whether each class has a range of its own."""
    known = values.notna().to_numpy()
    if known.mean() < 0.5 or len(np.unique(y[known])) < 2:
        return False
    codes, found = pd.factorize(values[known], sort=kind_of(values) != "categorical")
    if kind_of(values) == "categorical" and len(found) > 0.5 * len(codes):
        return False  # an identifier tells everything and nothing
    classes = y[known]
    low = np.full(len(found), np.iinfo(np.int64).max)
    high = np.full(len(found), -1)
    np.minimum.at(low, codes, classes)
    np.maximum.at(high, codes, classes)
    if (low != high).any():
        return False
    return kind_of(values) == "categorical" or np.count_nonzero(np.diff(low)) == len(np.unique(classes)) - 1
