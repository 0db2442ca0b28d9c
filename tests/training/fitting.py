"""A small training, for tests of what training does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from dlcli.config.build import build
from dlcli.models.mlp import MLP
from dlcli.tasks.multiclass import Multiclass
from dlcli.training.fit import Fitted, fit
from dlcli.training.network import Network
from dlcli.training.observer import Observer

ROWS, BATCH = 200, 8


def data(rows: int = ROWS, seed: int = 0) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)).astype(np.float32)
    return {"x": torch.from_numpy(x), "y": torch.from_numpy((x[:, 0] + x[:, 1] > 0).astype(np.int64))}


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
) -> tuple[Network, Fitted]:
    """Train a small network; `options` are arguments of `fit`, the rest are the trainer's."""
    torch.manual_seed(0)
    network = Network(model or MLP((4,), 2, hidden=16, dropout=0.2))
    arguments = {"max_epochs": epochs, "accelerator": "cpu", **trainer}
    fitted = fit(
        network,
        Multiclass(["no", "yes"], [100, 100], nn.CrossEntropyLoss()),
        data(rows),
        data(50, seed=1),
        make_trainer=partial(build, {"_target_": "pytorch_lightning.Trainer", **arguments}),
        trainer_arguments=arguments,
        callbacks=list(callbacks),
        seed=0,
        monitor="val/loss",
        mode="min",
        folder=folder,
        description={},
        **{
            "make_optimizer": partial(torch.optim.Adam, lr=lr),
            "batch_size": BATCH,
            "checkpoint_minutes": 10,
            "observer": Observer(),
            **(options or {}),
        },
    )
    return network, fitted


class SeesEveryStep(Callback):
    """Asks for single steps, by being there."""

    steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += 1


def figures(fitted: Fitted) -> list[dict[str, float]]:
    """What was measured, but for the speed."""
    return [{k: v for k, v in epoch.items() if k != "samples_per_second"} for epoch in fitted.history]
