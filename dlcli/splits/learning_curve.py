"""K-fold cross-validation with several numbers of training rows, for curves of a metric over the number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le, MinLen

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.kfold import KFold
from dlcli.splits.split import Split

ShareOfRows = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class LearningCurve(KFold):
    """K-fold, each fold with all of its training rows and with shares of them.

    The splits with all training rows come first and are those of `KFold`. For a smaller share, a fold keeps its
    held-out rows, and its training and validation rows are drawn from those of the next larger share, so that sizes
    differ only in the number of rows.

    Attributes:
        sizes: shares of the training rows; 1, which is all of them, is added if it is missing.
    """

    sizes: Annotated[Sequence[ShareOfRows], MinLen(1)] = (0.1, 0.25, 0.5, 1.0)

    @property
    def shares(self) -> list[float]:
        """The shares from large to small, beginning with 1."""
        return sorted({1.0, *map(float, self.sizes)}, reverse=True)

    def splits(self, data: Data) -> list[Split]:
        """Return one split per share and fold: all folds with all rows, then those of the next smaller share.

        Raises:
            DataError: a share of a fold has no training rows, or no validation rows.
        """
        whole = super().splits(data)
        found, larger = list(whole), whole
        for share in self.shares[1:]:
            larger = [
                self._smaller(data, split, full, share) for split, full in zip(larger, whole, strict=True)
            ]
            found += larger
        return found

    @property
    def share_of_split(self) -> list[float]:
        """The share of each split."""
        return [share for share in self.shares for _ in range(self.folds * self.repeats)]

    def _smaller(self, data: Data, split: Split, whole: Split, share: float) -> Split:
        carver = self._carver(data)
        parts = {}
        for part in ("train", "val"):
            rows, wanted = split.rows(part), round(share * len(whole.rows(part)))
            if len(whole.rows(part)) and wanted == 0:
                raise DataError(
                    f"a share of {share:g} of {len(whole.rows(part))} {part} rows is less than one row",
                    where="cv.sizes",
                    hint="Choose larger shares.",
                )
            drop = 1 - wanted / max(1, len(rows))
            parts[part] = carver(rows, drop)[0] if 0 < drop < 1 else rows
        return replace(split, train=parts["train"], val=parts["val"])


def share_of_splits(strategy: object, splits: Sequence[Split]) -> tuple[float, ...]:
    """Return the share of its training rows that each split has; 1 for strategies without shares."""
    shares = strategy.share_of_split if isinstance(strategy, LearningCurve) else np.ones(len(splits)).tolist()
    return tuple(shares[: len(splits)])


def first_of_each_share(
    splits: Sequence[Split], shares: Sequence[float], most: int | None
) -> tuple[list[Split], tuple[float, ...]]:
    """Return the first `most` splits of each share and their shares; None means all."""
    seen: Counter[float] = Counter()
    kept = []
    for split, share in zip(splits, shares, strict=True):
        seen[share] += 1
        if not most or seen[share] <= most:
            kept.append((split, share))
    return [split for split, _ in kept], tuple(share for _, share in kept)
