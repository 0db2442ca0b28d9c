"""Callback that records the gradient norm and the share of idle units of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

GRADIENT_NORM, IDLE_UNITS, BY_POSITION = "gradient_norm", "idle_units", "input_gradient"

# Activation functions with a derivative that vanishes for some inputs, and this derivative as a function of the output.
_DERIVATIVES: Mapping[type[nn.Module], Any] = {
    nn.ReLU: lambda out: (out > 0).to(out.dtype),
    nn.Sigmoid: lambda out: out * (1 - out),
    nn.Tanh: lambda out: 1 - out**2,
}

# A unit is idle if its derivative is below this share of the maximum (1 for ReLU and tanh, 1/4 for the sigmoid).
_SMALL = 0.01
_LARGEST: Mapping[type[nn.Module], float] = {nn.Sigmoid: 0.25}


class WatchGradients(Callback):
    """Callback that records gradients and idle units in each epoch: vanishing gradients, dead and saturated units.

    - `gradient_norm/LAYER`: the Euclidean norm of the gradient of the layer's weights, the mean over the epoch's
      optimizer steps, before clipping. A layer is a module with weights of at least two dimensions.
    - `idle_units/LAYER`: the share of the units after a ReLU, sigmoid or tanh whose derivative is below 1 % of its
      largest value for every validation row: dead (ReLU) or saturated (sigmoid, tanh) units, which learn nothing.
      Recorded in epochs with validation; a channel of an image counts as one unit.
    - For sequences of numbers, `input_gradient/first_tenth` and `input_gradient/last_tenth`: the Euclidean norm of the
      gradient of a row's loss by its inputs at a step, the mean over rows, these steps and the epoch's batches.

    Layers are named as in the model's summary. No share of idle units is recorded for the internal activations of
    recurrent layers. The values of a resumed run equal those of an uninterrupted one.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._active: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        self._on_inputs: RemovableHandle | None = None
        self._by_position: dict[str, Tensor] = {}
        self._batches, self._parts, self._scaler = 0, 1, None

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the epoch so far."""
        sums = {"sums": dict(self._sums), "steps": self._steps}
        return {**sums, "by_position": dict(self._by_position), "batches": self._batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the sums of an unfinished epoch."""
        self._sums, self._steps = dict(state_dict["sums"]), state_dict["steps"]
        self._by_position, self._batches = (
            dict(state_dict.get("by_position", {})),
            state_dict.get("batches", 0),
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Observe the gradients by the inputs."""
        module: Any = pl_module
        self._scaler = getattr(trainer.precision_plugin, "scaler", None)  # of 16-mixed
        self._parts = trainer.accumulate_grad_batches
        self._on_inputs = module.network.model.register_forward_pre_hook(self._watch_inputs, with_kwargs=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop observing the gradients by the inputs."""
        if self._on_inputs is not None:
            self._on_inputs.remove()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Add the norms of this step's gradients."""
        module: Any = pl_module
        for name, layer in _weighted(module.network.model):
            gradients = [p.grad for p in layer.parameters(recurse=False) if p.ndim > 1 and p.grad is not None]
            if gradients:
                norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
                before = self._sums.get(name)
                self._sums[name] = norm if before is None else before.to(norm.device) + norm
        self._steps += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Observe the activations of the validation rows."""
        module: Any = pl_module  # a `TrainingModule`
        self._active.clear()
        self._hooks = [
            layer.register_forward_hook(self._observer(name))
            for name, layer in module.evaluated.model.named_modules()
            if type(layer) in _DERIVATIVES
        ]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop observing, and record the share of idle units of each layer."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        module: Any = pl_module
        for name, active in self._active.items():
            module.epoch_metrics[f"{IDLE_UNITS}/{name}"] = float((~active).float().mean())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the mean norm of each layer's gradients."""
        module: Any = pl_module
        for name, total in self._sums.items():
            module.epoch_metrics[f"{GRADIENT_NORM}/{name}"] = float(total) / self._steps
        self._sums, self._steps = {}, 0
        for name, total in self._by_position.items():
            module.epoch_metrics[f"{BY_POSITION}/{name}"] = float(total) / self._batches
        self._by_position, self._batches = {}, 0

    def _watch_inputs(self, model: nn.Module, args: Any, fields: dict[str, Any]) -> tuple[Any, Any] | None:
        x = fields.get("x")
        if not (isinstance(x, Tensor) and x.ndim == 3 and x.is_floating_point() and torch.is_grad_enabled()):
            return None
        watched = x.detach().requires_grad_()
        watched.register_hook(self._add_by_position)
        return args, {**fields, "x": watched}

    def _add_by_position(self, gradient: Tensor) -> None:
        # The loss is the mean over the rows of all batches of a step, times the scale of a scaler.
        factor = len(gradient) * self._parts / (self._scaler.get_scale() if self._scaler else 1)
        norms = factor * torch.linalg.vector_norm(gradient.detach().float(), dim=2).mean(dim=0)
        tenth = -(-len(norms) // 10)
        for name, values in (("first_tenth", norms[:tenth]), ("last_tenth", norms[-tenth:])):
            before = self._by_position.get(name)
            self._by_position[name] = (
                values.mean() if before is None else before.to(values.device) + values.mean()
            )
        self._batches += 1

    def _observer(self, name: str) -> Any:
        def observe(module: nn.Module, inputs: Any, output: Tensor) -> None:
            derivative = _DERIVATIVES[type(module)](output.detach())
            large = derivative.abs() >= _SMALL * _LARGEST.get(type(module), 1.0)
            # Units are the channels of images, and the last dimension otherwise.
            unit = 1 if output.ndim == 4 else output.ndim - 1
            active = large.transpose(0, unit).flatten(1).any(dim=1)
            before = self._active.get(name)
            self._active[name] = active if before is None else before | active

        return observe


def _weighted(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers with trained weights, with their names, from input to output."""
    return [
        (name or type(module).__name__, module)
        for name, module in model.named_modules()
        if any(p.ndim > 1 and p.requires_grad for p in module.parameters(recurse=False))
    ]
