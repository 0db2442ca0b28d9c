"""Muon (Jordan et al., 2024) for any model; torch's own implementation accepts matrices only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from torch.optim import AdamW, Optimizer
from torch.optim.optimizer import ParamsT

from dlcli.training.biases import is_weight

Decay = Annotated[float, Ge(0), Lt(1)]


class Muon(Optimizer):
    """Muon for matrices, AdamW for all other parameters (biases, normalization, convolutions).

    Muon's step is scaled to the size of AdamW's (Liu et al., Muon is Scalable for LLM Training, 2025), so that one
    learning rate and one weight decay suit both.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        momentum: Muon's momentum.
        nesterov: whether Muon uses Nesterov momentum.
        betas: AdamW's coefficients of the running means.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[float, Ge(0)] = 0.001,
        weight_decay: Annotated[float, Ge(0)] = 0.1,
        momentum: Decay = 0.95,
        nesterov: bool = True,
        betas: tuple[Decay, Decay] = (0.9, 0.95),
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        matrices, others = _part(self.param_groups, True), _part(self.param_groups, False)
        self._parts: list[Optimizer] = []
        if matrices:
            muon = torch.optim.Muon
            self._parts.append(
                muon(matrices, momentum=momentum, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
            )
        if others:
            self._parts.append(AdamW(others, betas=betas))
        self._share_groups()

    def _share_groups(self) -> None:
        # The dicts are shared with the parts, so that changes by a scheduler apply to them.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Perform a step of both optimizers; a closure is evaluated once, before them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both optimizers."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of both optimizers."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


def _part(groups: list[dict[str, Any]], matrices: bool) -> list[dict[str, Any]]:
    parts = [
        {**group, "params": [p for p in group["params"] if (p.ndim == 2 and is_weight(p)) is matrices]}
        for group in groups
    ]
    return [part for part in parts if part["params"]]
