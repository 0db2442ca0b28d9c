"""Shares of the rows that a command asks for, and that the data has settled itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dlcli.datasets.data import Data
from dlcli.errors import Problem
from dlcli.splits.holdout import Holdout
from dlcli.splits.predefined import Predefined


def find_idle_shares(overrides: Sequence[str], data: Data, strategy: Any) -> Iterator[Problem]:
    """Yield a mistake for each share of a command that would have no effect, since the data names these rows.

    Args:
        overrides: of the command.
        data: the rows.
        strategy: splits the rows.
    """
    named = {"cv.test_size": ("test", data.test_rows)}
    if isinstance(strategy, Holdout | Predefined):  # folds carve validation rows off their training rows
        named["cv.val_size"] = ("validation", data.val_rows)
    for key, (what, rows) in named.items():
        if rows is not None and any(word.startswith(f"{key}=") for word in overrides):
            yield Problem(
                f"has no effect: {data.name} names its {what} rows itself",
                key,
                "Leave it out; or leave out what names the rows, such as dataset.split or dataset.test_path.",
            )
