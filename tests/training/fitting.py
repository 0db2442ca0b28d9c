"""A small fit, for tests of training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from dlcli.config.build import build
from dlcli.events import ignore
from dlcli.models.mlp import MLP
from dlcli.tasks.base import Task
from dlcli.tasks.multiclass import Multiclass
from dlcli.training.due_steps import run_alone
from dlcli.training.fit import FitResult, fit
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe

ROWS, BATCH = 200, 8


def data(rows: int = ROWS, seed: int = 0) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)).astype(np.float32)
    return {"x": torch.from_numpy(x), "y": torch.from_numpy((x[:, 0] + x[:, 1] > 0).astype(np.int64))}


def fit_recipe(
    folder: Path,
    network: Network,
    task: Task,
    train: Any,
    val: Any,
    trainer: dict[str, Any],
    **options: Any,
) -> FitResult:
    """Fit on the CPU; `options` are fields of the recipe or arguments of `fit`."""
    trainer = {"accelerator": "cpu", **trainer}
    of_recipe = {
        "make_trainer": partial(build, {"_target_": "pytorch_lightning.Trainer", **trainer}),
        "trainer_arguments": trainer,
        "batch_size": BATCH,
        "seed": 0,
    }
    of_fit: dict[str, Any] = {"folder": folder, "listen": ignore, "description": {}}
    for name, value in options.items():
        (of_recipe if name in Recipe.__dataclass_fields__ else of_fit)[name] = value
    return run_alone(fit(network, task, train, val, Recipe(**of_recipe), **of_fit))


def train(
    folder: Path,
    *,
    epochs: int = 3,
    lr: float = 0.01,
    callbacks: Any = (),
    options: Any = None,
    model: nn.Module | None = None,
    rows: int = ROWS,
    **trainer: Any,
) -> tuple[Network, FitResult]:
    """Train a small network; `options` are those of `fit_recipe`, the rest are the trainer's."""
    torch.manual_seed(0)
    network = Network(model or MLP((4,), 2, hidden=16, dropout=0.2))
    given = {
        "make_optimizer": partial(torch.optim.Adam, lr=lr),
        "callbacks": list(callbacks),
        **(options or {}),
    }
    task = Multiclass(["no", "yes"], [100, 100], nn.CrossEntropyLoss())
    fitted = fit_recipe(
        folder, network, task, data(rows), data(50, seed=1), {"max_epochs": epochs, **trainer}, **given
    )
    return network, fitted


class SeesEveryStep(Callback):
    """Asks for single steps, by being there."""

    steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += 1


def figures(fitted: FitResult) -> list[dict[str, float]]:
    """What was measured, but for the speed."""
    return [{k: v for k, v in epoch.items() if k != "samples_per_second"} for epoch in fitted.history]


class Reverse(Callback):
    """From the third epoch on, the network answers the opposite of what it has learnt, and learns no more."""

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            module.optimizers().param_groups[0]["lr"] = 0.0
            with torch.no_grad():
                for parameter in module.network.model.layers[-1].parameters():
                    parameter.neg_()
