"""The kinds of targets that are plain arrays: classes, labels and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.masks.class_maps import pixel_counts
from dlcli.datasets.target_rows import TargetRows
from dlcli.formatting import counted
from dlcli.statistics.deviation import deviations

# Steps of 0.025 resolve the usual prediction intervals, up to 95 %.
SHARES = np.linspace(0, 1, 41)


class _Array(TargetRows):
    """Targets in an array, which is not copied."""

    def __init__(self, y: np.ndarray) -> None:
        self.y = y

    def __len__(self) -> int:
        return len(self.y)


class ClassCodes(_Array):
    """One class per row: int64 codes `(N,)`."""

    target_kind: ClassVar[TargetKind] = "multiclass"

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the names of the classes and the number of training rows of each `(C,)`."""
        counts = np.bincount(self.y[train], minlength=len(names))
        return {"classes": list(names), "class_counts": counts.tolist()}

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of rows of each class `(C,)`."""
        return np.bincount(self.y, minlength=classes)


class TwoClasses(ClassCodes):
    """One of two classes per row."""

    target_kind = "binary"


class Labels(_Array):
    """Any number of labels per row: 0 and 1, `(N, K)`."""

    target_kind: ClassVar[TargetKind] = "multilabel"

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the names of the labels, and the number of training rows without and with each `(K, 2)`."""
        present = self.y[train].sum(axis=0)
        counts = np.stack([len(train) - present, present], axis=1)
        return {"classes": list(names), "class_counts": counts.tolist()}

    def described(self, names: Sequence[str]) -> str:
        """Return such as `3 labels`."""
        return counted(len(names), "label")

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of rows with each label `(K,)`."""
        return self.y.sum(axis=0)


class PixelCodes(_Array):
    """A class for each pixel: an array of codes `(N, H, W)`, or `Masks`."""

    target_kind: ClassVar[TargetKind] = "segmentation"

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the names of the classes and the number of training pixels of each `(C,)`."""
        counts = pixel_counts(self.y[train], len(names)).sum(axis=0)
        return {"classes": list(names), "class_counts": counts.tolist()}

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of masks with a pixel of each class `(C,)`."""
        return (pixel_counts(self.y, classes) > 0).sum(axis=0)


class TargetNumbers(_Array):
    """TargetNumbers in the user's own unit, `(N,)` or `(N, K)`."""

    target_kind: ClassVar[TargetKind] = "regression"

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return names, means, deviations and quantiles of the columns over the training rows.

        The deviation of a constant column is 1; quantiles are at the levels 0, 0.025, ..., 1, `(K, 41)`.
        """
        columns = self.y[train].reshape(len(train), -1).astype(np.float64)
        return {
            "targets": list(names),
            "target_mean": columns.mean(axis=0).tolist(),
            "target_std": deviations(columns).tolist(),
            "target_quantiles": np.quantile(columns, SHARES, axis=0).T.tolist(),
        }

    def described(self, names: Sequence[str]) -> str:
        """Return such as `2 targets`."""
        return counted(len(names), "target")


class Forecasts(TargetNumbers):
    """Numbers of several later steps, `(N, horizon, K)`; their facts are those of the series (`tasks/facts.py`)."""

    target_kind = "forecast"


def kind_of_array(y: Any, classes: Sequence[str]) -> TargetRows:
    """Return the kind of targets in an array or in `Windows`, which follows from type and dimensions."""
    if np.issubdtype(y.dtype, np.floating):
        return (Forecasts if y.ndim == 3 else TargetNumbers)(y)
    if y.ndim == 3:
        return PixelCodes(y)
    if y.ndim == 2:
        return Labels(y)
    return (TwoClasses if len(classes) == 2 else ClassCodes)(y)
