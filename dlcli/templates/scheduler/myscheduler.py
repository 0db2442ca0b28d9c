"""myscheduler: a custom learning-rate schedule."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def schedule(
    optimizer: Optimizer, steps_per_epoch: int, warmup_epochs: Annotated[float, Gt(0)] = 1.0
) -> LambdaLR:
    """Increase the rate linearly, then decay it with the root of the number of steps.

    A class derived from `torch.optim.lr_scheduler.LRScheduler` can be named in the YAML file as well.

    Args:
        optimizer: The optimizer, whose rate is the highest one; dlcli passes it.
        steps_per_epoch: Number of optimizer steps of an epoch; dlcli passes it, and `total_steps` if there is such an
            argument.
        warmup_epochs: Epochs, or a fraction of one, in which the rate increases.
    """
    warmup = max(1.0, warmup_epochs * steps_per_epoch)

    def share(step: int) -> float:
        done = (step + 1) / warmup
        return min(done, done**-0.5)

    return LambdaLR(optimizer, share)
