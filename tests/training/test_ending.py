"""The end of training: a limit of steps, a minimum length, and the state of both in a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import BATCH, ROWS, data, train
from pytorch_lightning.callbacks import Callback, EarlyStopping, GradientAccumulationScheduler
from safetensors.torch import load_file
from torch import nn

from dlcli.training.epoch_state import LAST
from dlcli.training.fit import FitResult
from dlcli.training.network import Network

BATCHES = ROWS // BATCH


def assert_best_is_saved(network: Network, fitted: FitResult) -> None:
    """The recorded metric of the best epoch is that of the saved weights."""
    network.model.load_state_dict(load_file(fitted.best_weights))
    val = data(50, seed=1)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(network.eval()(val), val["y"])
    assert loss.item() == pytest.approx(fitted.history[fitted.best_epoch]["val/loss"], rel=1e-5)


@pytest.mark.parametrize("steps", [1, 10, BATCHES, BATCHES + 1])
@pytest.mark.parametrize("epochs", [3, -1, None])
def test_a_limit_of_steps_ends_with_a_whole_record(steps: int, epochs: int | None, tmp_path: Path) -> None:
    network, fitted = train(tmp_path, epochs=epochs, max_steps=steps)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == steps
    assert len(fitted.history) == -(-steps // BATCHES)
    assert all("val/loss" in epoch and "train/loss" in epoch for epoch in fitted.history)
    assert_best_is_saved(network, fitted)
    again = train(tmp_path, epochs=epochs, max_steps=steps, options={"earlier": fitted.history})[1]
    assert again.history == fitted.history


def test_a_limit_of_steps_has_priority_over_minima(tmp_path: Path) -> None:
    _, fitted = train(tmp_path, epochs=5, max_steps=30, min_epochs=4, min_steps=30)
    assert len(fitted.history) == 2


def test_few_batches_per_epoch_are_few(tmp_path: Path) -> None:
    """The number 1 means one batch, and not all of them."""
    for limit, expected in ((1, 1), (0.5, 12), (1.0, BATCHES)):
        train(tmp_path / str(limit), epochs=1, limit_train_batches=limit)
        state = torch.load(tmp_path / str(limit) / LAST, weights_only=True)
        steps = {int(values["step"]) for values in state["optimizer_states"][0]["state"].values()}
        assert steps == {expected}


class StopsAt(Callback):
    """Stops within an epoch, as Lightning's Timer does."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step >= 30:
            trainer.should_stop = True


@pytest.mark.parametrize(
    "settings",
    [
        {"callbacks": [StopsAt()]},
        {"max_steps": 40},
        {"limit_train_batches": 7},
        {"accumulate_grad_batches": 4},
        {"callbacks": [EarlyStopping("val/loss", patience=1, check_on_train_epoch_end=False)]},
        {"min_steps": 60, "callbacks": [StopsAt()]},
    ],
    ids=["stop", "max_steps", "limit_train_batches", "accumulation", "early stopping", "min_steps"],
)
def test_the_metrics_of_the_best_epoch_are_those_of_the_saved_weights(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    assert_best_is_saved(*train(tmp_path, epochs=4, **settings))


class Killed(BaseException):
    """Stands in for a kill: no code catches it."""


class KillsAt(Callback):
    """Kills the run at the start of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise Killed


class Scripted(Callback):
    """Asks to stop after the second epoch, and never again, as early stopping does if the metric improves later."""

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            trainer.should_stop = True


@pytest.mark.parametrize("epoch", [2, 3])
@pytest.mark.parametrize("minimum", [{"min_epochs": 4}, {"min_steps": 4 * BATCHES}], ids=str)
def test_a_stop_that_waits_for_the_minimum_survives_a_kill(
    epoch: int, minimum: dict[str, int], tmp_path: Path
) -> None:
    _, whole = train(tmp_path / "whole", epochs=8, callbacks=[Scripted()], **minimum)
    assert len(whole.history) == 4
    with pytest.raises(Killed):
        train(tmp_path / "b", epochs=8, callbacks=[Scripted(), KillsAt(epoch)], **minimum)
    earlier = {"earlier": whole.history[:epoch]}
    _, resumed = train(tmp_path / "b", epochs=8, callbacks=[Scripted()], options=earlier, **minimum)
    assert len(resumed.history) == 4
    assert resumed.best_epoch == whole.best_epoch


def test_early_stopping_before_the_minimum_ends_at_the_minimum(tmp_path: Path) -> None:
    """Early stopping is not final before the minimum: a run that is killed there continues."""

    def early() -> EarlyStopping:
        return EarlyStopping("val/loss", patience=2, min_delta=1000)  # no epoch improves that much

    with pytest.raises(Killed):
        train(tmp_path, epochs=9, min_epochs=8, callbacks=[early(), KillsAt(4)])
    assert not torch.load(tmp_path / LAST, weights_only=True)["callbacks"]["Checkpoints"]["stopped"]
    _, resumed = train(tmp_path, epochs=9, min_epochs=8, callbacks=[early()])
    assert torch.load(tmp_path / LAST, weights_only=True)["epoch"] == 7
    assert len(resumed.history) == 4  # of the second part


def test_a_schedule_ends_with_a_changing_accumulation(tmp_path: Path) -> None:
    from functools import partial

    from test_schedules import node

    from dlcli.assembly.optimization import make_schedule

    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    options = {"make_schedule": partial(make_schedule, node("cosine"))}
    accumulation = GradientAccumulationScheduler({1: 4})
    train(tmp_path, epochs=3, callbacks=[accumulation, Rates()], options=options)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 25 + 7 + 7
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[-2] > 1e-6


@pytest.mark.parametrize("name", ["cosine", "polynomial", "onecycle"])
def test_a_schedule_of_epochs_ends_with_the_training(name: str, tmp_path: Path) -> None:
    from functools import partial

    from test_schedules import node

    from dlcli.assembly.optimization import make_schedule

    options = {"make_schedule": partial(make_schedule, {**node(name), "interval": "epoch"})}
    train(tmp_path, epochs=4, options=options)
    (state,) = torch.load(tmp_path / LAST, weights_only=True)["lr_schedulers"]
    assert state["_last_lr"][0] < 0.01 * 0.01 if name != "onecycle" else state["total_steps"] == 4
