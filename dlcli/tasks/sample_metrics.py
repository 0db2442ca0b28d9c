"""Metrics of generated images, from the judge's features of generated and real images.

All are computed from sums over rows (moments up to the third order, and per class), so that features need not be
stored.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dlcli.tasks.metric import Metric, counted_over

SampleFigure = Literal["frechet", "kernel_distance", "recognized", "diversity", "modes"]

# Columns of `Generate.kept` before the features: loss, requested class, predicted class.
HEADER = 3

_ROWS = 2048  # rows whose products of features are in memory at a time

# The sums over features that each metric needs.
_SUMS = {
    "frechet": ("first", "second"),
    "kernel_distance": ("first", "second", "third", "diagonal"),
    "diversity": ("by_class", "squares"),
}

# A class is covered if the number of images predicted as this class is at least this share of those requested.
_COVERED = 0.1


class SampleMetric(Metric):
    """Comparison of generated and real images.

    Args:
        kind: `frechet`, the Frechet distance of two normal distributions with the features' means and covariances
            (Heusel et al., 2017, there with features of Inception); `kernel_distance`, the unbiased squared maximum
            mean discrepancy with the kernel `(x y / d + 1) ** 3` (KID, Binkowski et al., 2018); `recognized`, the share
            of images whose requested class the judge predicts; `diversity`, the variance of the features within a class
            divided by that of real images, averaged over classes; or `modes`, the number of covered classes: the judge
            predicts a class for at least a tenth as many images as were requested.
        num_classes: number of classes.
    """

    asked: Tensor
    seen: Tensor
    right: Tensor
    first: Tensor
    second: Tensor
    third: Tensor
    diagonal: Tensor
    by_class: Tensor
    squares: Tensor

    def __init__(self, kind: SampleFigure, num_classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.higher_is_better = kind not in ("frechet", "kernel_distance")
        # Unbiased, the kernel distance may be slightly negative.
        self.plot_lower_bound = None if kind == "kernel_distance" else 0.0
        self.plot_upper_bound = {"recognized": 1.0, "modes": float(num_classes)}.get(kind)
        self.shares = "codes" if kind in ("recognized", "modes") else kind
        self._classes = num_classes
        for name in ("asked", "seen"):
            self.add_sum(name, (num_classes,))
        self.add_sum("right")
        # The shape of sums over features (of generated and of real images) is known after the first rows.
        for name in _SUMS.get(kind, ()):
            self.add_sum(name)

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, 3 + 2 F)` is what `Generate.kept` returns, and y is not used."""
        asked, seen = predicted[:, 1].long(), predicted[:, 2].long()
        self.asked = self.asked + torch.bincount(asked, minlength=self._classes)
        self.seen = self.seen + torch.bincount(seen, minlength=self._classes)[: self._classes]
        self.right = self.right + (asked == seen).sum()
        if self.kind not in _SUMS:
            return
        both = predicted[:, HEADER:].double().unflatten(1, (2, -1)).transpose(0, 1)  # (2, N, F)
        for start in range(0, both.shape[1], _ROWS):
            self._add(both[:, start : start + _ROWS], asked[start : start + _ROWS])

    def _add(self, rows: Tensor, asked: Tensor) -> None:
        """Add the sums of features `(2, N, F)` that the metric needs."""
        width = rows.shape[2]
        if self.kind == "diversity":
            of_class = torch.nn.functional.one_hot(asked, self._classes).double()
            self.by_class = self.by_class + of_class.T @ rows
            self.squares = self.squares + of_class.T @ rows.square().sum(dim=2, keepdim=True)
            return
        self.first = self.first + rows.sum(dim=1)
        self.second = self.second + rows.transpose(1, 2) @ rows
        if self.kind == "kernel_distance":
            pairs = (rows.unsqueeze(3) * rows.unsqueeze(2)).flatten(2)
            self.third = self.third + pairs.transpose(1, 2) @ rows
            self.diagonal = self.diagonal + ((rows.square().sum(2) / width + 1) ** 3).sum(dim=1)

    def compute(self) -> Tensor:
        """Return the value; NaN if there are too few rows, or for distances if a feature is not finite."""
        rows = self.asked.sum()
        match self.kind:
            case "recognized":
                return self.right / rows
            case "modes":
                return (self.seen >= _COVERED * self.asked)[self.asked > 0].double().sum()
            case "diversity":
                return self.diversities().nanmean()
        if rows < 2 or not torch.isfinite(self.second).all():
            return rows.new_tensor(torch.nan)
        return self._frechet(rows) if self.kind == "frechet" else self._kernel(rows)

    def over(self) -> tuple[int, int] | None:
        """Return the number of classes that have a diversity, and that of all; None for other figures."""
        return counted_over(~self.diversities().isnan()) if self.kind == "diversity" else None

    def diversities(self) -> Tensor:
        """Return the variance within each class `(C,)` divided by that of real images; NaN with fewer than two."""
        if self.by_class.ndim == 0:
            return self.asked.new_full((self._classes,), torch.nan)
        means = self.by_class / self.asked[:, None]
        within = self.squares.squeeze(2) - self.asked * means.square().sum(dim=2)
        made, real = within.unbind()
        return torch.where((self.asked > 1) & (real > 0), made.clamp_min(0) / real, torch.nan)

    def _frechet(self, rows: Tensor) -> Tensor:
        means = self.first / rows
        outer = means.unsqueeze(2) * means.unsqueeze(1)
        made, real = (self.second - rows * outer) / (rows - 1)
        values, vectors = torch.linalg.eigh(made)
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T
        common = torch.linalg.eigvalsh(root @ real @ root).clamp_min(0).sqrt().sum()
        return (means[0] - means[1]).square().sum() + made.trace() + real.trace() - 2 * common

    def _kernel(self, rows: Tensor) -> Tensor:
        """Return the distance; sums of the kernel over all pairs are products of moments."""
        width = self.first.shape[1]
        first, second, third = (
            torch.stack([(a * b).sum() for a, b in ((m[0], m[0]), (m[1], m[1]), (m[0], m[1]))])
            for m in (self.first, self.second, self.third)
        )
        sums = rows**2 + 3 * first / width + 3 * second / width**2 + third / width**3
        made, real = (sums[:2] - self.diagonal) / (rows * (rows - 1))
        return made + real - 2 * sums[2] / rows**2
