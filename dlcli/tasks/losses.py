"""Losses: the mean over rows, so that batches of any size add up.

Each says with `accepts` for which targets it is, and with `lower_bound`, which a user's own may lack, what it is never
below. Of classes, y are codes `(N,)` beside logits `(N, C)`; of yes-or-no targets (binary, multilabel), 0 and 1 as
floats `(N, K)` beside logits `(N, K)`; of regression, values like the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional

from dlcli.errors import Problem
from dlcli.tasks.quantiles import pinball_loss

ClassWeights = Literal["balanced"] | Mapping[str, Annotated[float, Ge(0)]] | None
Smoothing = Annotated[float, Ge(0), Lt(1)]


class Weighted(nn.Module):
    """A loss whose classes may weigh differently; `weights` are like the counts of the classes, or None."""

    lower_bound: ClassVar = 0.0
    weights: Tensor | None

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int] | Sequence[Sequence[int]],
        class_weights: ClassWeights,
    ) -> None:
        super().__init__()
        weights = class_weights_of(class_weights, classes, class_counts)
        self.register_buffer("weights", weights, persistent=False)


class CrossEntropy(Weighted):
    """Cross-entropy of one class out of several.

    Args:
        classes: the classes' names.
        class_counts: training rows of each.
        label_smoothing: share of the target's probability that is spread over all classes.
        class_weights: `balanced`, or a weight for each class that is named; see `class_weights_of`.
    """

    accepts: ClassVar = {"multiclass"}

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        label_smoothing: Smoothing = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        if self.weights is None:
            return functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        losses = functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing, reduction="none")
        return (losses * self.weights[y]).mean()


class BinaryCrossEntropy(Weighted):
    """Cross-entropy of yes-or-no targets; arguments as of `CrossEntropy`."""

    accepts: ClassVar = {"binary", "multilabel"}

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int] | Sequence[Sequence[int]],
        label_smoothing: Smoothing = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows and labels, a scalar."""
        weights = None if self.weights is None else _of_each(self.weights, y)
        smooth = y * (1 - self.label_smoothing) + self.label_smoothing / 2 if self.label_smoothing else y
        return functional.binary_cross_entropy_with_logits(logits, smooth, weights)


class Focal(Weighted):
    """`(1 - p)^gamma` times the cross-entropy, p the probability of what is true: rows that are learnt count less.

    For rare classes (Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 4); `class_weights` are its
    alpha (equation 5). Takes classes and yes-or-no targets.
    """

    accepts: ClassVar = {"binary", "multiclass", "multilabel"}

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int] | Sequence[Sequence[int]],
        gamma: Annotated[float, Ge(0)] = 2.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        if y.is_floating_point():
            losses = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        else:
            losses = functional.cross_entropy(logits, y, reduction="none")
        # Not quite 0, where the power of a gamma below 1 has no gradient.
        missing = -torch.expm1(-losses)
        losses = losses * missing.clamp_min(torch.finfo(losses.dtype).tiny) ** self.gamma
        if self.weights is not None:
            losses = losses * (_of_each(self.weights, y) if y.is_floating_point() else self.weights[y])
        return losses.mean()


class MSE(nn.Module):
    """Mean squared error."""

    accepts: ClassVar = {"regression"}
    lower_bound: ClassVar = 0.0

    def __init__(self) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows and targets, a scalar."""
        return functional.mse_loss(outputs, y)


class MAE(nn.Module):
    """Mean absolute error: learns the median."""

    accepts: ClassVar = {"regression"}
    lower_bound: ClassVar = 0.0

    def __init__(self) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows and targets, a scalar."""
        return functional.l1_loss(outputs, y)


class Huber(nn.Module):
    """Squared error up to `delta`, absolute error beyond: outliers pull less (Huber, 1964).

    Args:
        delta: in standard deviations of the target where targets are scaled, else in their unit.
    """

    accepts: ClassVar = {"regression"}
    lower_bound: ClassVar = 0.0

    def __init__(self, delta: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows and targets, a scalar."""
        return functional.huber_loss(outputs, y, delta=self.delta)


class Quantile(nn.Module):
    """The pinball loss: learns the values that given shares of the targets stay below (Koenker and Bassett, 1978).

    Several are learnt at once, with an output for each, and make intervals.

    Args:
        quantiles: the shares. Of several, one is 0.5: the median is then the prediction.
    """

    accepts: ClassVar = {"regression"}
    lower_bound: ClassVar = 0.0
    _levels: Tensor

    def __init__(self, quantiles: Sequence[Annotated[float, Gt(0), Lt(1)]] = (0.5,)) -> None:
        super().__init__()
        self.quantiles = tuple(quantiles)
        self.register_buffer("_levels", torch.tensor(self.quantiles), persistent=False)

    @staticmethod
    def mistakes(arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """Shares that are out of order, or without the median."""
        quantiles = arguments.get("quantiles", [0.5])
        if not isinstance(quantiles, list) or not all(isinstance(share, float | int) for share in quantiles):
            return
        if not quantiles or any(a >= b for a, b in pairwise(quantiles)):
            yield Problem("should be shares in increasing order", "quantiles", "Such as [0.1,0.5,0.9].")
        elif len(quantiles) > 1 and 0.5 not in quantiles:
            told = ",".join(f"{share:g}" for share in sorted([*quantiles, 0.5]))
            yield Problem(
                "several quantiles need the median among them: it is the prediction",
                "quantiles",
                f"Add 0.5: [{told}].",
            )

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows, targets and quantiles, a scalar; outputs are `(N, K * Q)`, target by target."""
        return pinball_loss(outputs.reshape(*y.shape, len(self.quantiles)), y, self._levels).mean()


def class_weights_of(
    wanted: ClassWeights, classes: Sequence[str], counts: Sequence[int] | Sequence[Sequence[int]]
) -> Tensor | None:
    """Weights like `counts`: of each class `(C,)`, or without and with each label `(K, 2)`.

    `balanced` gives `rows / (classes * rows of the class)`, counted on the training rows (scikit-learn's rule): each
    class has the same share in the loss, and the mean weight of the training rows is 1. A mapping names classes (of
    multilabel targets, labels where they are present); the others weigh 1.

    Raises:
        ValueError: a name is no class.
    """
    if wanted is None:
        return None
    rows = torch.as_tensor(counts, dtype=torch.float64)
    if wanted == "balanced":
        present = (rows > 0).sum(dim=-1, keepdim=True)
        weights = rows.sum(dim=-1, keepdim=True) / (present * rows)
        return torch.where(rows > 0, weights, 1.0).float()
    strangers = [name for name in wanted if name not in classes]
    if strangers:
        raise ValueError(f"class_weights names {', '.join(strangers)}, the classes are {', '.join(classes)}")
    weights = torch.ones_like(rows)
    for name, weight in wanted.items():
        weights[(classes.index(name), 1) if rows.ndim == 2 else classes.index(name)] = weight
    return weights.float()


def _of_each(weights: Tensor, y: Tensor) -> Tensor:
    """The weight of each 0 and 1 in y `(N, K)`; weights are `(2,)`, or `(K, 2)`."""
    return torch.where(y > 0.5, weights[..., 1], weights[..., 0])
