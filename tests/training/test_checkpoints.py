"""Times of checkpoints, the best epoch, and the retained files."""

from __future__ import annotations

import itertools
import math
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.loops import _FitLoop
from safetensors.torch import load_file

from dlcli.errors import Interrupted
from dlcli.models.mlp import MLP
from dlcli.process.interrupts import preempted
from dlcli.training import checkpoints
from dlcli.training.checkpoints import Checkpoints
from dlcli.training.epoch_state import LAST, PREVIOUS, ResumePoint, best_name
from dlcli.training.module import TrainingModule
from tests.training.fitting import Reverse, train


@pytest.mark.parametrize("mode", ["min", "max"])
def test_only_a_better_epoch_is_the_best(mode: str, tmp_path: Path) -> None:
    sign = 1 if mode == "min" else -1
    found = Checkpoints(tmp_path, "loss", mode, 10)
    values = [math.nan, 3.0, 3.0, 4.0, 2.0, math.nan, 2.0, 1.0]
    assert [found._improved({"loss": sign * value, "other": 0.0}) for value in values] == [
        False, True, False, False, True, False, False, True,
    ]  # fmt: skip
    assert found.best_value == sign * 1.0


def test_without_a_metric_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, None, "min", 10)
    assert found._improved({}) and found._improved({})


def trainer(ranks: int = 1, accumulate: int = 1, batches: int = 100) -> Any:
    return SimpleNamespace(
        world_size=ranks,
        accumulate_grad_batches=accumulate,
        num_training_batches=batches,
        should_stop=False,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )


def test_a_checkpoint_is_due_after_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock)
    found = Checkpoints(tmp_path, "loss", "min", every_minutes=2)
    due = {}
    for seconds in (0, 119, 120, 121):
        clock = 1000.0 + seconds
        due[seconds] = found._is_due(trainer(), 1)
    assert due == {0: False, 119: False, 120: False, 121: True}


def test_a_checkpoint_is_due_immediately_on_preemption(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, "loss", "min", every_minutes=1000)
    found._leave_where_preempted()
    preempted.set()
    try:
        assert found._is_due(trainer(), 1)
        with pytest.raises(Interrupted):
            found._leave_where_preempted()
    finally:
        preempted.clear()
    assert not found._is_due(trainer(), 1)


class Module(TrainingModule):
    """A module after an epoch, of which a checkpoint needs the metrics alone."""

    def __init__(self, loss: float) -> None:
        LightningModule.__init__(self)
        self.epoch_metrics, self.sharing = {"loss": loss}, SimpleNamespace(runs=1)


Saved = list[dict[str, Any]]


def end_epoch(found: Checkpoints, saved: Saved, epoch: int, least: int | None = None, **trainer: Any) -> None:
    """End an epoch (counted from 0), in a process that writes nothing; `saved` receives the state that it saves."""
    loop = _FitLoop(SimpleNamespace(), min_epochs=least)  # type: ignore[arg-type]
    loop.epoch_progress.current.processed = epoch + 1
    defaults = {
        "should_stop": False,
        "callbacks": [],
        "is_global_zero": False,
        "world_size": 2,  # several ranks write after each epoch
        "max_epochs": 100,
        "save_checkpoint": lambda *_, **__: saved.append(found.state_dict()),
    }
    state = SimpleNamespace(current_epoch=epoch, fit_loop=loop, **{**defaults, **trainer})
    found.on_train_epoch_end(state, Module(loss=1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("epoch", "least", "stopped"),
    [(0, None, True), (1, 3, False), (2, 3, True), (3, 3, True), (0, 0, True)],
)
def test_a_run_that_should_stop_is_stopped_from_its_min_epochs_on(
    epoch: int, least: int | None, stopped: bool, tmp_path: Path
) -> None:
    saved: Saved = []
    found = Checkpoints(tmp_path, "loss", "min", 10)
    end_epoch(found, saved, epoch, least, should_stop=True)
    first = {"best_epoch": epoch, "best_value": 1.0, "finished_epochs": epoch + 1}
    assert saved == [{**first, "stopped": stopped, "asked_to_stop": True}]
    end_epoch(found, saved, epoch + 1, least)
    assert [state["stopped"] for state in saved] == [stopped, False]
    assert [state["best_epoch"] for state in saved] == [epoch, epoch]  # an equal loss is no better one


def test_a_run_that_its_time_limit_ends_is_not_stopped(tmp_path: Path) -> None:
    saved: Saved = []
    timer = Timer(duration={"hours": 1})
    timer.time_remaining = lambda *_: 0.0  # type: ignore[method-assign]
    end_epoch(Checkpoints(tmp_path, "loss", "min", 10), saved, 4, should_stop=True, callbacks=[timer])
    assert [(state["stopped"], state["asked_to_stop"]) for state in saved] == [(False, False)]


def test_a_preempted_run_ends_with_the_epoch_and_its_checkpoint(tmp_path: Path) -> None:
    saved: Saved = []
    found = Checkpoints(tmp_path, "loss", "min", every_minutes=1000)
    end_epoch(found, saved, 0)
    preempted.set()
    try:
        with pytest.raises(Interrupted) as left:
            end_epoch(found, saved, 1)
        assert left.value.signum == signal.SIGUSR1
        assert [state["finished_epochs"] for state in saved] == [1, 2]
        end_epoch(found, saved, 2, should_stop=True)  # it is done: there is nothing to go on with
        assert saved[-1]["stopped"]
    finally:
        preempted.clear()


def test_ranks_ask_each_other_every_16_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    others = 0.0

    def summed(value: torch.Tensor) -> torch.Tensor:
        asked.append(float(value))
        return value + others

    monkeypatch.setattr(checkpoints, "summed", summed)
    for minutes, of_others, expected in ((1000, 0, False), (1000, 1, True), (-1, 0, True)):
        others = of_others
        found = Checkpoints(tmp_path, "loss", "min", minutes)
        due = [steps for steps in range(1, 49) if found._is_due(trainer(ranks=2), steps)]
        assert due == ([16, 32, 48] if expected else [])
    assert asked == [0] * 6 + [1] * 3


@pytest.mark.parametrize(
    ("accumulate", "batches", "saved"),
    [(1, 6, [0, 1, 2, 3, 4]), (3, 9, [2, 5]), (3, 8, [2, 5]), (2, 3, [1]), (1, 1, [])],
)
def test_checkpoints_within_an_epoch_follow_optimizer_steps(
    accumulate: int, batches: int, saved: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is written after the last batch, because one follows at the end of the epoch."""
    found = Checkpoints(tmp_path, "loss", "min", every_minutes=-1)
    written: list[int] = []
    steps: list[int] = []
    monkeypatch.setattr(found, "_save", lambda _: written.append(batch))
    monkeypatch.setattr(found, "_is_due", lambda _, done: steps.append(done) or True)
    for batch in range(batches):
        found.on_train_batch_end(trainer(1, accumulate, batches), None, None, None, batch)  # type: ignore[arg-type]
    assert written == saved
    assert steps == [(batch + 1) // accumulate for batch in saved]


def test_no_checkpoint_is_written_within_an_epoch_that_ends_here_and_a_preempted_run_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Checkpoints(tmp_path, "loss", "min", every_minutes=-1)
    written: list[int] = []
    monkeypatch.setattr(found, "_save", lambda _: written.append(0))
    monkeypatch.setattr(checkpoints, "is_ending", lambda trainer: trainer.should_stop)
    ending = trainer()
    ending.should_stop = True
    found.on_train_batch_end(ending, None, None, None, 0)  # type: ignore[arg-type]
    assert written == []
    preempted.set()
    try:
        with pytest.raises(Interrupted):
            found.on_train_batch_end(trainer(), None, None, None, 0)  # type: ignore[arg-type]
    finally:
        preempted.clear()
    assert written == [0]


def test_a_stop_that_was_asked_for_before_the_checkpoint_is_restored(tmp_path: Path) -> None:
    for asked, stops in itertools.product((False, True), repeat=2):
        found, state = Checkpoints(tmp_path, "loss", "min", 10), trainer()
        found._asked_to_stop, state.should_stop = asked, stops
        found.on_train_start(state, None)  # type: ignore[arg-type]
        assert state.should_stop == (asked or stops)


def test_reasons_for_a_checkpoint_after_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock)
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", 2.0)
    monkeypatch.setattr(checkpoints, "_MAX_HELD", 100)
    found = Checkpoints(tmp_path, "loss", "min", 10)
    found._named, found._finished_epochs = {LAST: 0}, 3

    def is_due(together: int = 1, ranks: int = 1, *, stop: bool = False, epochs: int = 9) -> bool:
        state = SimpleNamespace(world_size=ranks, should_stop=stop, max_epochs=epochs)
        return found._is_due_after_epoch(state, together)  # type: ignore[arg-type]

    assert not is_due()
    assert is_due(ranks=2) and is_due(stop=True) and is_due(epochs=3)
    for floats, due in ((25, False), (26, True)):
        found._waiting = {"weight": torch.zeros(floats)}
        assert is_due() == due
    found._waiting = None
    clock += 1.0
    assert not is_due(2)
    clock += 1.1  # networks that are trained together take turns, each at most every 0.3 s times their number
    assert [is_due(together) for together in (1, 6, 8)] == [True, True, False]
    assert found.state_dict() == Checkpoints(tmp_path, "loss", "min", 10).state_dict() | {
        "finished_epochs": 3
    }
    preempted.set()
    try:
        assert is_due(8)
    finally:
        preempted.clear()


def test_room_is_made_and_the_best_weights_are_written_before_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    found = Checkpoints(tmp_path, "loss", "min", 10)
    monkeypatch.setattr(found, "_make_room", lambda: done.append("room"))
    monkeypatch.setattr(found, "_write_best", lambda: done.append("best"))

    def save(file: Path, **_: Any) -> None:
        done.append("state")
        file.write_bytes(b"state")

    found._save(SimpleNamespace(should_stop=False, is_global_zero=True, save_checkpoint=save, callbacks=[]))  # type: ignore[arg-type]
    assert done == ["room", "best", "state"]


def test_of_three_states_the_first_is_removed_with_its_digest(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, "loss", "min", 10)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"state")
        found._manifest.adopt(name)
    found._named = {LAST: None, PREVIOUS: None}
    found._make_room()
    assert [file.name for file in tmp_path.iterdir()] == [LAST] == list(found._manifest.accepted)


def test_a_state_with_more_than_tensors_is_copied(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2), "extra": {"steps": [1]}}
    copied = checkpoints._copied(state)
    state["weight"].zero_()
    state["extra"]["steps"].append(2)
    assert (copied["weight"].tolist(), copied["extra"]) == ([1, 1], {"steps": [1]})


@pytest.mark.parametrize(
    ("left", "out"),
    [([], False), ([None], False), ([5.0], False), ([0.0], True), ([-1.0], True), ([5.0, 0.0], True)],
)
def test_a_run_ended_by_its_time_limit_can_be_extended(left: list[float | None], out: bool) -> None:
    timers = []
    for seconds in left:
        timer = Timer(duration={"hours": 1})
        timer.time_remaining = lambda *_, seconds=seconds: seconds  # type: ignore[method-assign]
        timers.append(timer)
    assert checkpoints._is_out_of_time(SimpleNamespace(callbacks=[object(), *timers])) is out  # type: ignore[arg-type]


def test_a_file_is_renamed_if_links_are_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("state")
    checkpoints._link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    checkpoints._link(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "c").read_text() == "state"


def test_weights_that_no_checkpoint_needs_are_removed(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, "loss", "min", 10)
    for epoch in range(5):
        (tmp_path / best_name(epoch)).write_bytes(b"weights")
    (tmp_path / "other.safetensors").write_bytes(b"no weights of ours")
    found.best_epoch = 4
    found._named = {LAST: 2, "previous.ckpt": None}
    found._tidy()
    left = {file.name for file in tmp_path.glob("*.safetensors")}
    assert left == {best_name(2), best_name(4), "other.safetensors"}


def test_a_resumed_run_restores_the_best_epoch(tmp_path: Path) -> None:
    state = {"best_epoch": 3, "best_value": 0.25, "finished_epochs": 5, "stopped": False}
    state["asked_to_stop"] = True
    resumed = Checkpoints(tmp_path, "loss", "min", 10, progress=ResumePoint(tmp_path / LAST, 5, False, state))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert resumed.best_weights == tmp_path / best_name(3)
    assert resumed._named == {LAST: 3}
    del state["asked_to_stop"]  # a checkpoint of an earlier version
    resumed.load_state_dict(state)
    assert not resumed._asked_to_stop
    assert not resumed._improved({"loss": 0.25})
    fresh = Checkpoints(tmp_path, "loss", "max", 10)
    assert fresh.best_weights is None
    assert fresh.state_dict() == {
        "best_epoch": None, "best_value": -math.inf, "finished_epochs": 0, "stopped": False, "asked_to_stop": False,
    }  # fmt: skip


@pytest.fixture
def _few_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", 1e9)


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {file.name: load_file(file) for file in folder.glob("best-*")}


@pytest.mark.usefixtures("_few_are_written")
def test_a_short_run_writes_its_first_and_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[int] = []
    save = Checkpoints._save

    def saving(found: Checkpoints, trainer: Any) -> None:
        saves.append(trainer.current_epoch)
        save(found, trainer)

    monkeypatch.setattr(Checkpoints, "_save", saving)
    _, short = train(tmp_path / "short", epochs=4, callbacks=[Reverse()])
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", -1.0)
    _, long = train(tmp_path / "long", epochs=4, callbacks=[Reverse()])
    assert saves == [0, 3, 0, 1, 2, 3]
    assert short.best_epoch == long.best_epoch == 1
    assert (tmp_path / "short" / best_name(1)).stat().st_mode & 0o777 == 0o644  # the folder may be shared
    torch.testing.assert_close(weights(tmp_path / "short"), weights(tmp_path / "long"), rtol=0, atol=0)


@pytest.mark.usefixtures("_few_are_written")
def test_a_short_part_of_a_run_writes_its_best_weights_only(tmp_path: Path) -> None:
    _, whole = train(tmp_path / "whole", epochs=4, callbacks=[Reverse()])
    _, part = train(tmp_path / "part", epochs=4, callbacks=[Reverse()], options={"saves_bounds": False})
    assert sorted(file.name for file in tmp_path.iterdir()) == [checkpoints.WEIGHTS_ALONE, "whole"]
    assert part.best_epoch == whole.best_epoch == 1
    alone = load_file(part.best_weights)
    torch.testing.assert_close({best_name(1): alone}, weights(tmp_path / "whole"), rtol=0, atol=0)
    assert part.best_weights.stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("_few_are_written")
def test_weights_that_share_memory_are_kept_in_memory(tmp_path: Path) -> None:
    class Tied(MLP):
        def __init__(self) -> None:
            torch.manual_seed(0)
            super().__init__((4,), 2, hidden=16)
            self.same = self.layers[0]

    saved = []
    for seconds in (1e9, -1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoints, "_EPOCH_SECONDS", seconds)
            train(tmp_path / str(seconds), epochs=4, callbacks=[Reverse()], model=Tied())
        saved.append(weights(tmp_path / str(seconds)))
    torch.testing.assert_close(saved[0], saved[1], rtol=0, atol=0)


@pytest.mark.usefixtures("_few_are_written")
def test_the_best_weights_of_a_short_run_that_fails_are_kept(tmp_path: Path) -> None:
    class Fail(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 3:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tmp_path, epochs=5, callbacks=[Reverse(), Fail()])
    assert sorted(weights(tmp_path)) == [best_name(0), best_name(1)]  # the checkpoint names the first one
    _, again = train(tmp_path, epochs=5, callbacks=[Reverse()])
    assert list(weights(tmp_path)) == [best_name(again.best_epoch)]


def test_an_epoch_is_written_two_seconds_after_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1000.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock)
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", 2.0)
    saved: Saved = []
    found = Checkpoints(tmp_path, "loss", "min", 10)
    found._named[LAST] = 0
    written = []
    for epoch, seconds in enumerate((0.5, 1.9, 2.1, 3.0, 4.2)):
        clock = 1000.0 + seconds
        end_epoch(found, saved, epoch, world_size=1)
        written.append(saved[-1]["finished_epochs"] if saved else 0)
    assert written == [0, 0, 3, 3, 5]
