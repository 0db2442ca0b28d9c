"""Repeated random hold-outs (Monte Carlo cross-validation)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, by_row
from dlcli.splits.folding import Folding


@dataclass(frozen=True)
class ShuffleSplit(Folding):
    """Random hold-outs that are drawn independently: a row may be held out several times, or never.

    Attributes:
        folds: number of splits.
        held_out: share of the rows that each split holds out.
        stratify: keep the class shares equal in all parts, if each row has one class.
        test_size: share of all rows that are in no split, for the final test of a refitted model.
        val_size: share of a split's training rows used for validation.
        seed: seed of the splits.
    """

    folds: Annotated[int, Ge(1)] = 10
    held_out: Annotated[float, Gt(0), Lt(1)] = 0.2
    stratify: bool = True
    seed: Seed = 0

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        strata = data.strata if self.stratify else None
        kind = model_selection.ShuffleSplit if strata is None else model_selection.StratifiedShuffleSplit
        splitter = kind(self.folds, test_size=self.held_out, random_state=self.seed)
        yield from splitter.split(rows, strata[rows] if strata is not None else None)

    def _carver(self, data: Data) -> Carver:
        return by_row(self.seed, data.strata if self.stratify else None)
