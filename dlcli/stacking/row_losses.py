"""The loss of each row, for losses that are means over rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dlcli.tasks.base import Task
from dlcli.tasks.losses import CrossEntropy, Focal


def row_losses(task: Task, outputs: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each row `(N,)`, whose mean is `task.loss`."""
    criterion: Any = task.criterion
    if y.is_floating_point() or not isinstance(criterion, CrossEntropy | Focal):
        each: Tensor = torch.vmap(lambda own, true: task.loss(own[None], true[None]))(outputs, y)
        return each
    # Not mapped over rows, because torch would first compile the derivatives of the cross-entropy, which takes long.
    losses = functional.cross_entropy(
        outputs, y, label_smoothing=getattr(criterion, "label_smoothing", 0.0), reduction="none"
    )
    if isinstance(criterion, Focal):
        losses = criterion.focused(losses)
    return losses if criterion.weights is None else losses * criterion.weights[y]
