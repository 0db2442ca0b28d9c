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
    """Random hold-outs that are drawn independently: a row may be held out several times, or never.

    Args:
        folds: number of splits.
        held_out: share of the rows that each split holds out.
        stratify: keep the class shares equal in all parts, if each row has one class.
        test_size: share of all rows that are in no split, for the final test of a refitted model.
        val_size: share of a split's training rows used for validation.
        seed: seed of the splits.
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
