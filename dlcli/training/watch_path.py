"""Callback that keeps the path of the weights during training, for a plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from dlcli.errors import TrainingError
from dlcli.formatting import counted

_POINTS = 200
_MODEL = "network.model."  # prefix of the model's weights in a checkpoint
_VALUES = 1 << 25  # weights of all points together: 128 MiB


@dataclass(frozen=True)
class WeightPath:
    """The weights of a network at some of its optimizer steps.

    Attributes:
        names: Names of the parameters of the model that are trained.
        points: Their values, flattened, `(N, P)` on the CPU: before the first step, between steps, and at the end.
    """

    names: tuple[str, ...]
    points: Tensor


class WatchPath(Callback):
    """Callback that keeps the trained weights at up to 200 steps; `plots/path.png` shows their path.

    The steps are evenly spaced. The weights are those that the optimizer has at the first step. A resumed run has the
    path of an uninterrupted one.

    Raises:
        TrainingError: The network has more than 16 million trained weights.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._points: list[Tensor] = []
        self._step, self._stride = 0, 1

    def state_dict(self) -> dict[str, Any]:
        """Return the points so far."""
        steps = {"step": self._step, "stride": self._stride}
        return {"names": list(self._names), "points": list(self._points), **steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the path of a run that was stopped."""
        self._names, self._points = tuple(state_dict["names"]), list(state_dict["points"])
        self._step, self._stride = state_dict["step"], state_dict["stride"]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Keep the weights, if it is their turn."""
        module: Any = pl_module  # a `TrainingModule`
        if not self._names:
            held = {id(weights) for group in optimizer.param_groups for weights in group["params"]}
            self._names = tuple(
                n for n, weights in module.network.model.named_parameters() if id(weights) in held
            )
        if self._names and self._step % self._stride == 0:
            self._points.append(self._flat(module.network.model))
            most = min(_POINTS, _VALUES // max(1, self._points[0].numel()))
            if most < 2:
                raise TrainingError(
                    f"keeps the path of {counted(self._points[0].numel(), 'weight')}, which takes too much memory",
                    "callbacks.path",
                    "Choose a smaller model, or another option of callbacks.",
                )
            if len(self._points) > most:
                del self._points[1::2]
                self._stride *= 2
        self._step += 1

    def path(self, model: Any) -> WeightPath | None:
        """Return the path of a model whose training has ended; None if there was no step."""
        if not self._points:
            return None
        return WeightPath(self._names, torch.stack([*self._points, self._flat(model)]))

    def path_in(self, checkpoint: Mapping[str, Any]) -> WeightPath | None:
        """Return the path of a run that was stopped after its last step, from its last checkpoint."""
        state = checkpoint["callbacks"].get(self.state_key)
        if not state or not state["points"]:
            return None
        self.load_state_dict(state)
        end = {name.removeprefix(_MODEL): weights for name, weights in checkpoint["state_dict"].items()}
        return WeightPath(self._names, torch.stack([*self._points, self._joined(end)]))

    def _flat(self, model: Any) -> Tensor:
        return self._joined(dict(model.named_parameters()))

    def _joined(self, known: Mapping[str, Tensor]) -> Tensor:
        weights = [known[name].detach().flatten().to("cpu", torch.float32) for name in self._names]
        return torch.cat(weights)
