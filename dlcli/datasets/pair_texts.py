"""`PairTexts`: one side of pairs of texts, such as sentences and their translations, with a reference to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.target_rows import TargetRows
from dlcli.datasets.text_rows import Texts


class PairTexts(Texts, TargetRows):
    """The sources or the targets of pairs of texts, with a reference to the other side.

    Sources refer to their targets because one vocabulary may be fitted on both sides of the training rows; targets
    refer to their sources for tables of predictions. New rows are plain `Texts`.

    Args:
        values: the texts of this side.
        name: name of their column.
        other: the texts of the other side.
    """

    target_kind: ClassVar[TargetKind] = "seq2seq"
    dtype: ClassVar = np.dtype(object)  # what stands in the place of a type of numbers

    def __init__(self, values: pa.Array | pa.ChunkedArray, name: str, other: Texts) -> None:
        super().__init__(values, name)
        self.other = other

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> PairTexts:
        """Return some of the rows in this order."""
        own = super().__getitem__(rows)
        return PairTexts(own.values, self.name, self.other[rows])

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return none: the preprocessing knows the tokens of targets."""
        return {}

    def described(self, names: Sequence[str]) -> str:
        """Return that targets are texts."""
        return "targets are texts"

    @classmethod
    def both(cls, sources: Texts, targets: Texts) -> tuple[PairTexts, PairTexts]:
        """Return the two sides of pairs."""
        return cls(sources.values, sources.name, targets), cls(targets.values, targets.name, sources)


def other_side(texts: Any) -> Texts | None:
    """Return the other side of pairs; None for texts that are not pairs."""
    return texts.other if isinstance(texts, PairTexts) else None
