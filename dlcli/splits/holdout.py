"""Hold-out: one split into train, val and test."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.split import Split, carve

Share = Annotated[float, Ge(0), Lt(1)]


class Holdout:
    """One split: the final test rows, then validation rows out of the rest.

    Args:
        test_size: share of all rows for the test, where the dataset has no test rows of its own.
        val_size: share of the remaining rows for validation.
        stratify: keep the shares of the classes equal in all parts, where each row has one class.
        seed: the split's seed.
    """

    def __init__(
        self, test_size: Share = 0.2, val_size: Share = 0.15, stratify: bool = True, seed: int = 0
    ) -> None:
        self.test_size = test_size
        self.val_size = val_size
        self.stratify = stratify
        self.seed = seed

    def splits(self, data: Data) -> list[Split]:
        """The split.

        Raises:
            DataError: no row is left for training.
        """
        labels = data.strata if self.stratify else None
        rows = np.arange(len(data))
        if data.test_rows is not None:
            test = np.sort(data.test_rows)
            rest = np.setdiff1d(rows, test)
        else:
            rest, test = carve(rows, self.test_size, seed=self.seed, labels=labels)
        train, val = carve(rest, self.val_size, seed=self.seed, labels=labels)
        if len(train) == 0:
            raise DataError(
                f"no training rows are left of {len(data)}",
                where="cv",
                hint="Lower cv.test_size or cv.val_size.",
            )
        return [Split(train, val, test)]
