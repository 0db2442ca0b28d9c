"""The losses of the steps of an epoch, and their check."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from dlcli.errors import Diverged

# Number of steps after which losses, which stay on the device, are checked, so that a diverged run ends soon.
_CHECK_EVERY = 256


class StepLosses:
    """The losses of the steps of an epoch.

    Args:
        steps: number of steps of an epoch.
        advice: returns the hint for a loss that is not finite.
    """

    def __init__(self, steps: int, advice: Callable[[], str]) -> None:
        self._steps = steps
        self._advice = advice
        self._losses: list[Tensor] = []
        self._checked = 0  # number of losses that have been found to be finite

    def __len__(self) -> int:
        return len(self._losses)

    def add(self, losses: Iterable[Tensor], epoch: int, *, are_finite: bool = False) -> None:
        """Add losses of the next steps; with `are_finite`, they need not be checked.

        Raises:
            Diverged: one of some hundred steps is NaN or infinite.
        """
        are_checked = are_finite and self._checked == len(self._losses)
        self._losses.extend(losses)
        if are_checked:
            self._checked = len(self._losses)
        if len(self._losses) >= self._checked + _CHECK_EVERY:
            self.check(epoch)

    def check(self, epoch: int) -> None:
        """Check the losses that have not been checked.

        Raises:
            Diverged: one is NaN or infinite.
        """
        first, self._checked = self._checked, len(self._losses)
        if losses := self._losses[first:]:
            _check_finite(losses, first, epoch, self._steps, self._advice)

    def clear(self) -> None:
        """Begin another epoch."""
        self._losses.clear()
        self._checked = 0

    def stacked(self) -> Tensor:
        """Return the losses `(steps,)`."""
        return torch.stack(self._losses)

    def restore(self, losses: Tensor) -> None:
        """Add the losses of a checkpoint."""
        self._losses.extend(losses.unbind())


def _check_finite(
    losses: list[Tensor], first: int, epoch: int, steps: int, advice: Callable[[], str]
) -> None:
    """Check the losses of consecutive steps of an epoch, starting with step `first`, counted from 0.

    Raises:
        Diverged: one is NaN or infinite.
    """
    finite = torch.isfinite(torch.stack(losses))
    if bool(finite.all()):
        return
    step = int((~finite).nonzero()[0])
    place = f"epoch {epoch + 1}, step {first + step + 1} of {steps}"
    message = f"the training loss became {float(losses[step])} in {place}"
    raise Diverged(message, where="train/loss", hint=advice())
