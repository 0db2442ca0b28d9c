"""Parts of a model that are trained in turns, each with its own loss, such as the two networks of a GAN.

One optimizer contains both parts as separate parameter groups. At each turn only one part has gradients, and only its
parameters and state (moments, step counts) change. This is equivalent to two optimizers, while checkpoints, the
schedule and the settings of `optimizer` apply to both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Turn(NamedTuple):
    """A part of the model (the name of a submodule), and its loss for a batch."""

    part: str
    loss: Tensor


def turn_parts(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the submodules that a model trains in turns; empty for a model with one loss."""
    return tuple(getattr(model, "trained_in_turns", ()))


def turn_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return a parameter group for each part, with its share of the learning rate.

    Shares are `lr_shares` of the model, by default 1.
    """
    shares: Mapping[str, float] = getattr(model, "lr_shares", {})
    return [
        {"params": list(model.get_submodule(part).parameters()), "lr_share": shares.get(part, 1.0)}
        for part in turn_parts(model)
    ]


class Turns:
    """Steps of a batch in turns, with means over an epoch of each part's loss and gradient norm."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._batches = 0

    def take(
        self, model: nn.Module, turns: Iterator[Turn], optimizer: Optimizer, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Perform an optimizer step for each turn; the loss of a turn is computed after the step of the previous one.

        Returns:
            The sum of their losses, without gradients, and the same value repeated for each row of the batch, `(N, 1)`.
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
