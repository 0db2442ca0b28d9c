"""Repeated random hold-outs (Monte Carlo cross-validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, Share, by_row
from dlcli.splits.folding import Folding


class ShuffleSplit(Folding):
    """Draws the held-out rows anew each time: a row may be held out often, or never.

    Args:
        folds: how often.
        held_out: share of the rows that each split holds out.
        stratify: keep the shares of the classes equal in all parts, where each row has one class.
        test_size: share of all rows that no split sees, for the final test of a refitted model.
        val_size: share of a split's training rows that validates.
        seed: the splits' seed.
    """

    def __init__(
        self,
        folds: Annotated[int, Ge(1)] = 10,
        held_out: Annotated[float, Gt(0), Lt(1)] = 0.2,
        stratify: bool = True,
        test_size: Share = 0.0,
        val_size: Share = 0.15,
        seed: Seed = 0,
    ) -> None:
        self.folds = folds
        self.held_out = held_out
        self.stratify = stratify
        self.test_size = test_size
        self.val_size = val_size
        self.seed = seed

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        strata = data.strata if self.stratify else None
        kind = model_selection.ShuffleSplit if strata is None else model_selection.StratifiedShuffleSplit
        splitter = kind(self.folds, test_size=self.held_out, random_state=self.seed)
        yield from splitter.split(rows, strata[rows] if strata is not None else None)

    def _carver(self, data: Data) -> Carver:
        return by_row(self.seed, data.strata if self.stratify else None)
