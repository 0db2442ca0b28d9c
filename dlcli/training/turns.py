"""Parts of a model that are trained in turns, each on a loss of its own, such as the two networks of a GAN.

One optimizer holds both parts, in parameter groups of their own. At each turn only one part has gradients, and only its
parameters and its state (moments, counts of steps) change: the two parts are trained as by two optimizers, while a
checkpoint, a schedule and the settings of `optimizer` hold for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Turn(NamedTuple):
    """A part of the model, the name of a submodule, and the loss of a batch that it is trained on."""

    part: str
    loss: Tensor


def turn_parts(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the submodules that a model trains in turns; empty for a model with one loss."""
    return tuple(getattr(model, "trained_in_turns", ()))


def turn_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return a group of parameters for each part, with the share of the learning rate that the model gives it.

    `lr_shares` of the model, by part, are 1 by default.
    """
    shares: Mapping[str, float] = getattr(model, "lr_shares", {})
    return [
        {"params": list(model.get_submodule(part).parameters()), "lr_share": shares.get(part, 1.0)}
        for part in turn_parts(model)
    ]


class Turns:
    """Does the steps of a batch, and collects means over an epoch: each part's loss and the norm of its gradient."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._batches = 0

    def take(
        self, model: nn.Module, turns: Iterator[Turn], optimizer: Optimizer, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Do an optimizer step for each turn; the loss of a turn is computed after the step of the one before it.

        Returns:
            The sum of their losses, without gradients, and the same for each row of the batch, `(N, 1)`.
        """
        total = torch.zeros(())
        for part, loss in turns:
            parameters = list(model.get_submodule(part).parameters())
            optimizer.zero_grad()
            loss.backward(inputs=parameters)
            found = {f"{part}_loss": loss.detach(), f"{part}_gradient_norm": _norm(parameters)}
            optimizer.step()
            for name, value in found.items():
                self._sums[name] = self._sums[name] + value if name in self._sums else value
            total = total.to(loss.device) + loss.detach()
        self._batches += 1
        return total, total.expand(len(batch["y"]), 1)

    def compute(self) -> dict[str, float]:
        """Return the means, by names such as `train/generator_loss`, and reset."""
        found = {f"train/{name}": float(value) / self._batches for name, value in self._sums.items()}
        self._sums, self._batches = {}, 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of this epoch so far."""
        return {"sums": dict(self._sums), "batches": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the sums."""
        self._sums, self._batches = dict(state.get("sums", {})), state.get("batches", 0)


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    """Return the norm of the gradient."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).norm()
