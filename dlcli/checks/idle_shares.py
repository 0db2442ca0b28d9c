"""Find the settings `cv.test_size` and `cv.val_size` where they have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dlcli.datasets.data import Data
from dlcli.errors import Problem
from dlcli.splits.holdout import Holdout
from dlcli.splits.predefined import Predefined


def find_idle_shares(overrides: Sequence[str], data: Data, strategy: Any) -> Iterator[Problem]:
    """Yield a problem for each of `cv.test_size` and `cv.val_size` that has no effect.

    They have no effect if the dataset itself defines its test or validation rows.

    Args:
        overrides: overrides of the command.
        data: the dataset.
        strategy: the splitting strategy.
    """
    named = {"cv.test_size": ("test", data.test_rows)}
    if isinstance(strategy, Holdout | Predefined):  # folds carve validation rows off their training rows
        named["cv.val_size"] = ("validation", data.val_rows)
    for key, (what, rows) in named.items():
        if rows is not None and any(word.startswith(f"{key}=") for word in overrides):
            yield Problem(
                f"has no effect: {data.name} defines its {what} rows",
                key,
                "Leave it out, or leave out the setting that defines the rows: dataset.split or dataset.test_path.",
            )
