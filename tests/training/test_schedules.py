from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import BATCH, ROWS, SeesEveryStep, figures, train
from torch.optim.lr_scheduler import LRScheduler

from dlcli.assembly.optimization import make_schedule
from dlcli.config.compose import compose
from dlcli.config.folders import options, shipped_folder
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.errors import ConfigError
from dlcli.training.schedules import Length, cosine, coslog4, polynomial

SCHEDULERS = sorted(set(options("scheduler", [shipped_folder()])) - {"none"})


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_cosine_warms_up_and_falls_to_its_final_share() -> None:
    found = rates(cosine(sgd(), total_steps=24, steps_per_epoch=8, warmup_epochs=0.5, final=0.1), 24)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[14] == pytest.approx(0.55)  # halfway down, after half of what follows the warm-up
    assert found[-1] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 19 / 20)) / 2)


def test_a_polynomial_of_power_1_is_a_straight_line() -> None:
    assert rates(polynomial(sgd(), 5, 5), 6) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    assert rates(polynomial(sgd(), 4, 4, power=2), 4) == pytest.approx([1, 0.5625, 0.25, 0.0625])


def test_coslog4_has_four_cycles_each_twice_as_long() -> None:
    """With 14 steps, step n is at n / 15 of the length, counted from 1: the ends of cycles are at 1, 3, 7 and 15."""
    found = rates(coslog4(sgd(), total_steps=14), 14)
    assert [found[step - 1] for step in (1, 3, 7)] == pytest.approx([0, 0, 0], abs=1e-6)
    assert min(found[1], *found[3:6], *found[7:13]) > 0.01
    assert max(found[7:14]) > 0.95


def node(name: str) -> dict[str, Any]:
    settings = {
        "step": ["scheduler.step_size=2"],
        "plateau": ["scheduler.patience=0", "scheduler.threshold=0.5", "scheduler.mode=min"],
    }
    more = settings.get(name, [])
    return compose([f"scheduler={name}", "optimizer.lr=0.01", *more], [], SUPPLIED).config["scheduler"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_single_steps_and_chunks_give_the_same_bits(name: str, tmp_path: Path) -> None:
    given = {"make_schedule": partial(make_schedule, node(name))}
    chunked, fast = train(tmp_path / "a", epochs=4, options=given)
    watcher = SeesEveryStep()
    stepped, slow = train(tmp_path / "b", epochs=4, options=given, callbacks=[watcher])
    assert watcher.steps == 4 * ROWS // BATCH
    for one, other in zip(chunked.parameters(), stepped.parameters(), strict=True):
        assert torch.equal(one, other)
    assert figures(fast) == figures(slow)
    lr = [epoch["lr"] for epoch in fast.history]
    assert len(set(lr)) > 1
    states = [torch.load(tmp_path / run / "last.ckpt", weights_only=True)["lr_schedulers"] for run in "ab"]
    assert states[0] == states[1]


def test_schedules_end_with_the_training_when_gradients_are_gathered(tmp_path: Path) -> None:
    seen = []

    def make(optimizer: Any, length: Length) -> Any:
        seen.append(length)
        return make_schedule(node("polynomial"), optimizer, length)

    train(tmp_path, accumulate_grad_batches=4, options={"make_schedule": make})
    assert seen == [Length(21, 3, 7)]  # 25 batches an epoch, in steps of 4
    (state,) = torch.load(tmp_path / "last.ckpt", weights_only=True)["lr_schedulers"]
    assert state["last_epoch"] == 21
    assert state["_last_lr"] == [0.0]


def test_a_schedule_that_needs_an_end_asks_for_one() -> None:
    with pytest.raises(ConfigError, match=r"scheduler: needs the total number(.|\n)*trainer.max_epochs"):
        make_schedule(node("cosine"), sgd(), Length(None, None, 10))
    make_schedule(node("plateau"), sgd(), Length(None, None, 10))
