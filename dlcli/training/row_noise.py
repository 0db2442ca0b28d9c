"""Standard errors of the validation loss, which rests on a limited number of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dlcli.distributed.collectives import summed
from dlcli.reports.diagnosis import FALL_SE, LOSS_SE, RISE_SE, last_epochs

GROUPS = 16  # maximum

# Above this number of rows the standard error is small, and not worth its time.
MOST_ROWS = 5_000

_FEWEST_GROUPS = 4

# Largest number of values of which a reordered copy is made: one indexing operation instead of one for each group.
_COPIED_AT_ONCE = 1 << 16


class RowNoise:
    """Estimates how far the validation loss, and its change since the best epoch, depend on which rows were drawn.

    The rows are divided into random groups of equal size, whose mean losses vary as much as means of that many rows
    (random group estimator: Wolter, "Introduction to Variance Estimation", 2007, chapter 2). Losses of one row in two
    epochs are similar, therefore the groups' differences vary less than their losses.

    Args:
        ranks: number of processes that share the rows.
    """

    def __init__(self, ranks: int = 1) -> None:
        self._ranks = ranks
        self._best: list[float] = []
        self._lowest = math.inf
        self._epochs = 0
        self._recent = np.empty((0, 0))  # numpy's operations on few numbers take less time than torch's

    def update(self, loss: float, groups: Tensor | None, device: torch.device) -> dict[str, float]:
        """Return the standard errors of an epoch's loss, of its difference from the lowest loss before, and of a fall.

        The fall is that of the mean of the last epochs (`last_epochs`) from the mean of as many before them.

        Args:
            loss: the validation loss.
            groups: sums of the losses of groups of rows and numbers of rows `(2, G)`; None for too many rows.
            device: of the process group.
        """
        self._epochs += 1
        if groups is None:
            return {}
        sums, counts = (summed(groups.to(device)) if self._ranks > 1 else groups).cpu().numpy()
        losses = sums[counts > 0] / counts[counts > 0]
        if len(losses) < _FEWEST_GROUPS or not np.isfinite(losses).all():
            self._recent = self._recent[:0]
            return {}
        found = {LOSS_SE: _standard_error(losses)}
        if len(self._best) == len(losses):
            found[RISE_SE] = _standard_error(losses - self._best)
        if loss < self._lowest:
            self._lowest, self._best = loss, losses.tolist()
        kept = self._recent if self._recent.shape[1] == len(losses) else np.empty((0, len(losses)))
        self._recent = np.concatenate([kept, losses[None]])[-2 * last_epochs(self._epochs + 1) :]
        half = last_epochs(self._epochs)
        if len(self._recent) >= 2 * half:
            before, now = self._recent[-2 * half : -half], self._recent[-half:]
            found[FALL_SE] = _standard_error((before.sum(axis=0) - now.sum(axis=0)) / half)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the groups in the best and in the last epochs."""
        best = {"best": list(self._best), "lowest": self._lowest}
        return {"ranks": self._ranks, **best, "epochs": self._epochs, "recent": torch.tensor(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them; they are forgotten if another number of processes shares the rows, whose groups are others."""
        best, lowest = state.get("best"), state.get("lowest")
        of_floats = isinstance(best, list) and all(isinstance(loss, float) for loss in [*best, lowest])
        if state.get("ranks") == self._ranks and of_floats:
            self._best, self._lowest = list(cast("list[float]", best)), cast(float, lowest)
        epochs, recent = state.get("epochs"), state.get("recent")
        self._epochs = epochs if isinstance(epochs, int) else 0
        if state.get("ranks") == self._ranks and isinstance(recent, Tensor) and recent.ndim == 2:
            self._recent = recent.double().cpu().numpy()


def group_sums(
    mean_loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, y: Tensor, in_sequence: bool = False
) -> Tensor:
    """Return sums of losses and numbers of rows of groups of rows `(2, G)`.

    The groups are drawn, the same ones in each epoch. Rows that follow each other are divided into blocks instead:
    neighbours have similar losses, so that each group would have rows like those of the others. Other dependent rows,
    such as those of one patient, are not considered: the standard error is then too small.

    Args:
        mean_loss: from outputs and targets of some rows to their mean loss, a scalar.
        outputs: what is kept of the outputs `(N, ...)`.
        y: targets `(N, ...)`.
        in_sequence: whether rows follow each other, such as the windows of a series.
    """
    sums = torch.zeros(2, GROUPS, dtype=torch.float64)
    if not len(y):
        return sums
    groups = min(GROUPS, len(y))
    order = None if in_sequence else _drawn_order(len(y)).to(outputs.device)
    parts = zip(_divided(outputs, order, groups), _divided(y, order, groups), strict=True)
    # One transfer from the device for all groups.
    losses = torch.stack([mean_loss(*part) for part in parts]).cpu().double()
    more, size = len(y) % groups, len(y) // groups  # the first groups have one row more
    sums[1, :groups] = size
    sums[1, :more] = size + 1
    sums[0, :groups] = losses * sums[1, :groups]
    return sums


def group_sums_of(losses: Tensor) -> Tensor:
    """Return the result of `group_sums` `(M, 2, G)` for the losses of each row of M training runs `(M, N)`."""
    rows = losses.shape[1]
    sums = torch.zeros(len(losses), 2, GROUPS, dtype=torch.float64)
    if not rows:
        return sums
    groups = min(GROUPS, rows)
    more, size = rows % groups, rows // groups
    drawn = losses.double()[:, _drawn_order(rows).to(losses.device)]
    larger, others = drawn.split([more * (size + 1), (groups - more) * size], dim=1)
    if more:
        sums[:, 0, :more] = larger.unflatten(1, (more, size + 1)).sum(dim=2).cpu()
    sums[:, 0, more:groups] = others.unflatten(1, (groups - more, size)).sum(dim=2).cpu()
    sums[:, 1, :groups] = size
    sums[:, 1, :more] = size + 1
    return sums


def _divided(values: Tensor, order: Tensor | None, groups: int) -> Iterable[Tensor]:
    """Return the rows of each group, in an order; all are copied at once if they are small."""
    if order is None:
        return values.tensor_split(groups)
    if values.numel() <= _COPIED_AT_ONCE:
        return values[order].tensor_split(groups)
    return (values[part] for part in order.tensor_split(groups))


@lru_cache(maxsize=4)
def _drawn_order(rows: int) -> Tensor:
    """Return row numbers in random order, drawn with a fixed seed and apart from the random numbers of training."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(0))


def _standard_error(values: np.ndarray) -> float:
    deviations = values - values.sum() / len(values)
    return math.sqrt(deviations @ deviations / (len(values) - 1) / len(values))
