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
    """K-fold whose training rows are split again for a hyperparameter search (Varma and Simon, 2006).

    Args:
        folds: number of outer folds.
        inner_folds: number of folds that a fold's training rows are split into for the search.
        search: try all combinations of the values (grid), or draw some at random (random).
        trials: number of combinations drawn by a random search; None draws 20.
        space: configuration keys and the values to try.
        stratify: keep the class shares equal in all parts.
        val_size: share of a fold's training rows used for validation when the chosen configuration is trained.
        seed: seed of the splits.
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
        # Inner folds need no validation rows: trials are compared on the held-out rows, and nothing is tested.
        self._inner = KFold(inner_folds, stratify=stratify, val_size=0.0, seed=seed)

    def splits(self, data: Data) -> list[Split]:
        """Return one split per outer fold."""
        return self._outer.splits(data)

    def final_test(self, data: Data) -> np.ndarray:
        """Return the dataset's own test rows, which are in no fold."""
        return self._outer.final_test(data)

    def inner_splits(self, data: Data, split: Split) -> list[Split]:
        """Return the splits of a fold's search, made of its training and validation rows; `test` is held out.

        Raises:
            DataError: the fold has too few rows for the inner folds.
        """
        return self._inner.splits_of(data, np.sort(np.concatenate([split.train, split.val])))
