"""Checks of the return values of a user's own dataset and cross-validation strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from dlcli.config.build import TARGET
from dlcli.datasets.data import Data, Kind
from dlcli.errors import ConfigError, DataError
from dlcli.splits.split import Part, Split


def is_of_dlcli(target: str) -> bool:
    """Return whether a dotted name is dlcli's own."""
    return target.startswith("dlcli.")


def check_own_data(data: Data, node: Mapping[str, Any]) -> None:
    """Check kind, number of rows and class codes of a dataset.

    Args:
        data: The rows.
        node: The section `dataset`; only functions outside of dlcli are checked.

    Raises:
        DataError: They are inconsistent.
    """
    if is_of_dlcli(target := str(node[TARGET])):
        return
    if data.kind not in get_args(Kind):
        raise DataError(
            f"{target} returns rows of the kind {data.kind!r}",
            "dataset",
            f"Choose kind from {', '.join(get_args(Kind))}.",
        )
    if data.kind == "table" and not isinstance(data.x, pd.DataFrame):
        raise DataError(
            f"{target} returns rows of type {type(data.x).__name__}, which are no table",
            "dataset",
            "Return Data(x=pandas.DataFrame(values, columns=names), ...).",
        )
    if hasattr(data.x, "__len__") and len(data.x) != len(data.y):
        raise DataError(
            f"{target} returns {len(data.x):,} rows and {len(data.y):,} targets",
            "dataset",
            "Return a target for each row: Data(x=..., y=...).",
        )
    if data.target_kind in ("binary", "multiclass") and isinstance(data.y, np.ndarray) and len(data.y):
        low, high = int(data.y.min()), int(data.y.max())
        if low < 0 or high >= len(data.classes):
            raise DataError(
                f"{target} returns class codes from {low} to {high}, and {len(data.classes)} names of classes",
                "dataset",
                "Codes are positions in classes, from 0: Data(y=..., classes=...).",
            )


def check_own_splits(splits: Any, final_test: Any, rows: int, node: Mapping[str, Any]) -> None:
    """Check the splits of a cross-validation strategy.

    Args:
        splits: Return value of its `splits`.
        final_test: Return value of its `final_test`.
        rows: Number of rows of the data.
        node: The section `cv`; only strategies outside of dlcli are checked.

    Raises:
        ConfigError: They are not splits of these rows.
    """
    if is_of_dlcli(target := str(node[TARGET])):
        return
    where = "cv"
    if not isinstance(splits, Sequence) or not splits or not all(isinstance(one, Split) for one in splits):
        raise ConfigError(
            f"{target}.splits returns {_shown(splits)}, not a list of Split",
            where,
            "Return [Split(train, val, test), ...], of dlcli.splits.split.",
        )
    if empty := [number for number, one in enumerate(splits) if not len(one.train)]:
        raise ConfigError(f"{target}: fold {empty[0]} has no training rows", where, "Give each fold some.")
    parts = [
        (f"{part} of fold {number}", one.rows(part))
        for number, one in enumerate(splits)
        for part in get_args(Part)
    ]
    for name, numbers in [*parts, ("final_test", final_test)]:
        if not isinstance(numbers, np.ndarray) or (
            len(numbers) and not np.issubdtype(numbers.dtype, np.integer)
        ):
            hint = "Return numbers of rows, such as np.flatnonzero(mask)."
            raise ConfigError(
                f"{target}: {name} is {_shown(numbers)}, not an array of row numbers", where, hint
            )
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= rows):
            raise ConfigError(
                f"{target}: {name} has rows from {numbers.min():,} to {numbers.max():,}, and the data has {rows:,}",
                where,
                "Rows are numbered from 0.",
            )


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
