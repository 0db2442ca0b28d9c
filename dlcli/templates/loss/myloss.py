"""MyLoss: a custom loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn.functional import softplus


class MyLoss(nn.Module):
    """Logarithm of the hyperbolic cosine of the error: squared for small errors, absolute for large ones.

    Args:
        scale: Size of an error, in standard deviations of the target, from which on it counts as large.
    """

    # Kinds of targets: binary and multilabel (outputs are logits, y 0 and 1 as floats, both (N, K)), multiclass (logits
    # (N, C), class codes (N,)), regression (both (N, K), in standard deviations; also for forecasts).
    accepts: ClassVar = {"regression"}
    # The lowest possible value, at which intervals end; leave it out if there is none.
    lower_bound: ClassVar = 0.0

    def __init__(self, scale: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows, a scalar."""
        error = (outputs - y) / self.scale
        return (error + softplus(-2 * error) - softplus(error.new_zeros(()))).mean()
