"""Nested cross-validation: folds within the training rows of folds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from dlcli.datasets.data import Data
from dlcli.splits.carving import Seed, Share
from dlcli.splits.kfold import KFold
from dlcli.splits.split import Split


class Nested:
    """A `Strategy` of k folds, each of which can be split again for a search (Varma and Simon, 2006).

    Args:
        folds: how many parts.
        inner_folds: how many parts of a fold's training rows, for the search.
        search: every combination of the values, or some that are drawn.
        trials: how many are drawn; None draws 20.
        space: key to the values that are tried.
        stratify: keep the shares of the classes equal in all parts.
        val_size: share of a fold's training rows that validates, when what was chosen is trained.
        seed: the splits' seed.
    """

    def __init__(
        self,
        folds: Annotated[int, Ge(2)] = 5,
        inner_folds: Annotated[int, Ge(2)] = 3,
        search: Literal["grid", "random"] = "grid",
        trials: Annotated[int, Ge(1)] | None = None,
        space: dict[str, Any] | None = None,
        stratify: bool = False,
        val_size: Share = 0.15,
        seed: Seed = 0,
    ) -> None:
        self.search = search
        self.trials = trials
        self.space = space or {}
        self._outer = KFold(folds, stratify=stratify, val_size=val_size, seed=seed)
        # No validation rows of their own: those that are held out choose, and nothing is tested.
        self._inner = KFold(inner_folds, stratify=stratify, val_size=0.0, seed=seed)

    def splits(self, data: Data) -> list[Split]:
        """One split an outer fold."""
        return self._outer.splits(data)

    def final_test(self, data: Data) -> np.ndarray:
        """The dataset's own test rows: no fold has any of them."""
        return self._outer.final_test(data)

    def inner_splits(self, data: Data, split: Split) -> list[Split]:
        """The splits of a fold's search, out of its training and validation rows; what is held out is their `test`.

        Raises:
            DataError: there are too few rows for so many folds.
        """
        return self._inner.splits_of(data, np.sort(np.concatenate([split.train, split.val])))
