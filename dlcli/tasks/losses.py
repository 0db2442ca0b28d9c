"""Losses. Each returns the mean over rows, so that losses of batches of different sizes can be combined.

`accepts` names the kinds of targets that a loss is defined for; `lower_bound`, optional for losses of users, is the
loss's infimum. For classes, y are codes `(N,)` and outputs are logits `(N, C)`; for binary and multilabel targets, y
are 0 and 1 as floats `(N, K)` and outputs are logits `(N, K)`; for regression, y has the shape of the outputs.
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
    """Base class of losses with class weights; `weights` has the shape of the class counts, or is None.

    The weighted losses are averaged over rows. `torch.nn.CrossEntropyLoss(weight=...)` instead divides by the sum of
    the weights of a batch's rows, so that a row's influence would depend on the other rows of its batch.
    """

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


class Smoothed(Weighted):
    """Base class of losses of classes with label smoothing.

    Args:
        classes: names of the classes.
        class_counts: number of training rows, pixels or words of each class.
        label_smoothing: share of the target's probability that is spread over all classes.
        class_weights: `balanced`, or a mapping of class names to weights; see `class_weights_of`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int] | Sequence[Sequence[int]],
        label_smoothing: Smoothing = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.label_smoothing = label_smoothing


class Focused(Weighted):
    """Base class of focal losses: the cross-entropy times `(1 - p)^gamma`, p being the probability of the true class.

    It reduces the weight of what is already classified well, which helps with rare classes (Lin et al., "Focal Loss
    for Dense Object Detection", 2017, equation 4); `class_weights` are its alpha (equation 5).

    Args:
        classes: names of the classes.
        class_counts: number of training rows or pixels of each class.
        gamma: how much less well-classified ones weigh.
        class_weights: `balanced`, or a mapping of class names to weights; see `class_weights_of`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int] | Sequence[Sequence[int]],
        gamma: Annotated[float, Ge(0)] = 2.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.gamma = gamma

    def focused(self, losses: Tensor) -> Tensor:
        """Return cross-entropies with their weights."""
        # Keep it above 0, because the power has no gradient at 0 for a gamma below 1.
        missing = -torch.expm1(-losses)
        return losses * missing.clamp_min(torch.finfo(losses.dtype).tiny) ** self.gamma


class CrossEntropy(Smoothed):
    """Cross-entropy for one class out of several; for the arguments see `Smoothed`."""

    accepts: ClassVar = {"multiclass"}

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""
        if self.weights is None:
            return functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        losses = functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing, reduction="none")
        return (losses * self.weights[y]).mean()


class BinaryCrossEntropy(Smoothed):
    """Binary cross-entropy for binary and multilabel targets; for the arguments see `Smoothed`."""

    accepts: ClassVar = {"binary", "multilabel"}

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over rows and labels, a scalar."""
        weights = None if self.weights is None else _of_each(self.weights, y)
        smooth = y * (1 - self.label_smoothing) + self.label_smoothing / 2 if self.label_smoothing else y
        return functional.binary_cross_entropy_with_logits(logits, smooth, weights)


class Focal(Focused):
    """Focal loss of rows; for the arguments see `Focused`."""

    accepts: ClassVar = {"binary", "multiclass", "multilabel"}

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""
        if y.is_floating_point():
            losses = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        else:
            losses = functional.cross_entropy(logits, y, reduction="none")
        losses = self.focused(losses)
        if self.weights is not None:
            losses = losses * (_of_each(self.weights, y) if y.is_floating_point() else self.weights[y])
        return losses.mean()


class RegressionLoss(nn.Module):
    """Base class of losses of regression and of forecasts."""

    accepts: ClassVar = {"regression"}
    lower_bound: ClassVar = 0.0

    def __init__(self) -> None:
        super().__init__()


class MSE(RegressionLoss):
    """Mean squared error."""

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over rows and targets, a scalar."""
        return functional.mse_loss(outputs, y)


class MAE(RegressionLoss):
    """Mean absolute error, whose optimum is the median."""

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over rows and targets, a scalar."""
        return functional.l1_loss(outputs, y)


class Huber(RegressionLoss):
    """Huber loss: squared error up to `delta`, absolute error beyond, so that outliers weigh less (Huber, 1964).

    Args:
        delta: in standard deviations of the target if targets are scaled, else in their unit.
    """

    def __init__(self, delta: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over rows and targets, a scalar."""
        return functional.huber_loss(outputs, y, delta=self.delta)


class Quantile(RegressionLoss):
    """Pinball loss, which is minimized by quantiles of the targets (Koenker and Bassett, 1978).

    Several quantiles are predicted jointly, with one output each, and give prediction intervals.

    Args:
        quantiles: levels between 0 and 1. If there are several, 0.5 must be among them: the median is the prediction.
    """

    _levels: Tensor

    def __init__(self, quantiles: Sequence[Annotated[float, Gt(0), Lt(1)]] = (0.5,)) -> None:
        super().__init__()
        self.quantiles = tuple(quantiles)
        self.register_buffer("_levels", torch.tensor(self.quantiles), persistent=False)

    @staticmethod
    def mistakes(arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield problems: levels that are not in increasing order, or several levels without the median."""
        quantiles = arguments.get("quantiles", [0.5])
        if not isinstance(quantiles, list) or not all(isinstance(level, float | int) for level in quantiles):
            return
        if not quantiles or any(a >= b for a, b in pairwise(quantiles)):
            yield Problem(
                "should be levels between 0 and 1 in increasing order",
                "quantiles",
                "Use levels such as [0.1,0.5,0.9].",
            )
        elif len(quantiles) > 1 and 0.5 not in quantiles:
            completed = ",".join(f"{level:g}" for level in sorted([*quantiles, 0.5]))
            yield Problem(
                "several quantiles must include the median, which is the prediction",
                "quantiles",
                f"Add 0.5: [{completed}].",
            )

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over rows, targets and quantiles, a scalar; outputs are `(N, K * Q)` by target."""
        return pinball_loss(outputs.reshape(*y.shape, len(self.quantiles)), y, self._levels).mean()


def class_weights_of(
    class_weights: ClassWeights, classes: Sequence[str], counts: Sequence[int] | Sequence[Sequence[int]]
) -> Tensor | None:
    """Return weights in the shape of `counts`: per class `(C,)`, or without and with each label `(K, 2)`.

    `balanced` is `rows / (classes * rows of the class)` over the training rows, as in scikit-learn: each class has the
    same share of the loss, and the mean weight of the training rows is 1. A mapping gives the weights of some classes
    (for multilabel targets: of rows that have the label); the weight of the others is 1.

    Raises:
        ValueError: a name in the mapping is not a class.
    """
    if class_weights is None:
        return None
    rows = torch.as_tensor(counts, dtype=torch.float64)
    if class_weights == "balanced":
        present = (rows > 0).sum(dim=-1, keepdim=True)
        weights = rows.sum(dim=-1, keepdim=True) / (present * rows)
        return torch.where(rows > 0, weights, 1.0).float()
    unknown = [name for name in class_weights if name not in classes]
    if unknown:
        raise ValueError(f"class_weights names {', '.join(unknown)}, the classes are {', '.join(classes)}")
    weights = torch.ones_like(rows)
    for name, weight in class_weights.items():
        weights[(classes.index(name), 1) if rows.ndim == 2 else classes.index(name)] = weight
    return weights.float()


def _of_each(weights: Tensor, y: Tensor) -> Tensor:
    """Return the weight of each 0 and 1 in y `(N, K)`; weights are `(2,)`, or `(K, 2)`."""
    return torch.where(y > 0.5, weights[..., 1], weights[..., 0])


class NextToken(nn.Module):
    """Cross-entropy of tokens: the mean of the losses among the outputs `(N, 1 + T)` of `TokenSums`."""

    accepts: ClassVar = {"language_model", "masked_language_model"}
    lower_bound: ClassVar = 0.0

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean, a scalar."""
        losses = outputs[:, 1:]
        there = (losses.detach() >= 0).to(losses.dtype)
        return (losses * there).sum() / there.sum().clamp_min(1)  # rows may have no masked token
