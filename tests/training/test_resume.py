"""A run that is stopped and resumed ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from safetensors.torch import load_file

from dlcli.errors import CorruptRun
from dlcli.events import EpochDone, Event
from dlcli.tracking import manifest
from dlcli.tracking.ledger import atomic_write
from dlcli.tracking.manifest import MANIFEST_FILE
from dlcli.training.epoch_state import LAST, PREVIOUS
from dlcli.training.fit import FitResult
from tests.training import fitting
from tests.training.fitting import BATCH, ROWS, SeesEveryStep


def train(
    folder: Path,
    *,
    checkpoint_minutes: float = 10,
    heard: list[dict[str, float]] | None = None,
    earlier: Any = (),
    fit: Any = None,
    **arguments: Any,
) -> tuple[Any, FitResult]:
    """As `fitting.train`; `heard` gets each epoch's metrics, `fit` are further arguments of `fit`."""

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and heard is not None:
            heard.append(dict(event.metrics))

    options = {
        "checkpoint_minutes": checkpoint_minutes,
        "listen": listen,
        "earlier": earlier,
        **(fit or {}),
    }
    return fitting.train(folder, options=options, **arguments)


class Killed(BaseException):
    """Stands in for kill -9: nothing that catches errors sees it."""


class KillAt(Callback):
    """Ends the process, so to speak, at an epoch's end, or in its middle."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if self.batch is None and trainer.current_epoch == self.epoch:
            raise Killed


class KillInEpoch(KillAt):
    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == self.epoch and batch_idx == self.batch:
            raise Killed


def same(one: Path, other: Path, a: FitResult, b: FitResult) -> None:
    mine, theirs = (torch.load(folder / LAST, weights_only=True) for folder in (one, other))
    for key, value in mine["state_dict"].items():
        other_value = theirs["state_dict"][key]
        assert torch.equal(value, other_value) if torch.is_tensor(value) else value == other_value, key
    assert a.best_epoch == b.best_epoch
    best = [load_file(fitted.best_weights) for fitted in (a, b)]
    assert all(torch.equal(value, best[1][key]) for key, value in best[0].items())
    timeless = [
        [{k: v for k, v in e.items() if k != "samples_per_second"} for e in f.history] for f in (a, b)
    ]
    assert timeless[0] == timeless[1]


def stopped_and_resumed(folder: Path, kill: Callback, callbacks: Any = (), **options: Any) -> FitResult:
    history: list[dict[str, float]] = []
    with pytest.raises(Killed):
        train(folder, callbacks=[*callbacks, kill], heard=history, **options)
    return train(folder, callbacks=[*callbacks], earlier=history, **options)[1]


@pytest.mark.parametrize("epoch", [1, 4])
def test_stopped_between_epochs(epoch: int, tmp_path: Path) -> None:
    _, whole = train(tmp_path / "a", epochs=6)
    resumed = stopped_and_resumed(tmp_path / "b", KillAt(epoch), epochs=6)
    same(tmp_path / "a", tmp_path / "b", whole, resumed)


@pytest.mark.parametrize("batch", [1, 7, 24])
def test_stopped_within_an_epoch(batch: int, tmp_path: Path) -> None:
    """With dropout on, and every single step checkpointed."""
    assert batch < ROWS // BATCH
    _, whole = train(tmp_path / "a", epochs=4, callbacks=[SeesEveryStep()])
    resumed = stopped_and_resumed(
        tmp_path / "b", KillInEpoch(2, batch), [SeesEveryStep()], epochs=4, checkpoint_minutes=1e-9
    )
    same(tmp_path / "a", tmp_path / "b", whole, resumed)


@pytest.mark.parametrize("gathered", [1, 3])
def test_averages_and_schedules_resume(gathered: int, tmp_path: Path) -> None:
    def extras() -> dict[str, Any]:
        from dlcli.training.averaging import EMA
        from dlcli.training.schedules import Schedule, cosine

        return {
            "averaging": EMA(0.9),
            "make_schedule": lambda optimizer, length: Schedule(
                cosine(optimizer, length.steps, length.steps_per_epoch), "step"
            ),
        }

    trainer = {"epochs": 4, "accumulate_grad_batches": gathered}
    _, whole = train(tmp_path / "a", callbacks=[SeesEveryStep()], fit=extras(), **trainer)
    for kill, name in ((KillInEpoch(2, 7), "b"), (KillAt(2), "c")):
        resumed = stopped_and_resumed(
            tmp_path / name, kill, [SeesEveryStep()], checkpoint_minutes=1e-9, fit=extras(), **trainer
        )
        same(tmp_path / "a", tmp_path / name, whole, resumed)


def test_stopped_within_an_epoch_of_chunks(tmp_path: Path) -> None:
    class KillAfterChunk(Callback):
        done = 0

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None: ...

    from dlcli.training import checkpoints

    _, whole = train(tmp_path / "a", epochs=3)
    original = checkpoints.Checkpoints.on_train_batch_end

    def kill(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        original(self, trainer, module, outputs, batch, batch_idx)
        if trainer.current_epoch == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_end", kill)
        history: list[dict[str, float]] = []
        with pytest.raises(Killed):
            train(tmp_path / "b", epochs=3, checkpoint_minutes=1e-9, heard=history)
    state = torch.load(tmp_path / "b" / LAST, weights_only=True)
    assert len(state["within_epoch"]["losses"]) == 20 < ROWS // BATCH
    resumed = train(tmp_path / "b", epochs=3, earlier=history)[1]
    same(tmp_path / "a", tmp_path / "b", whole, resumed)


def test_training_that_was_stopped_early_stays_stopped(tmp_path: Path) -> None:
    def early() -> list[Callback]:
        return [EarlyStopping("val/loss", patience=2, min_delta=1000)]  # no epoch is so much better

    _, whole = train(tmp_path, epochs=100, callbacks=early())
    assert len(whole.history) == 3
    _, again = train(tmp_path, epochs=100, callbacks=early(), earlier=whole.history)
    assert again.history == whole.history
    assert again.best_epoch == whole.best_epoch


def test_finished_training_is_not_changed_and_more_epochs_extend_it(tmp_path: Path) -> None:
    _, whole = train(tmp_path / "a", epochs=7)
    _, short = train(tmp_path / "b", epochs=3)
    before = (tmp_path / "b" / LAST).read_bytes()
    _, again = train(tmp_path / "b", epochs=3, earlier=short.history)
    assert (tmp_path / "b" / LAST).read_bytes() == before
    assert again.history == short.history
    _, longer = train(tmp_path / "b", epochs=7, earlier=short.history)
    same(tmp_path / "a", tmp_path / "b", whole, longer)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:200])
    with pytest.raises(
        CorruptRun, match=rf"{LAST}: differs from what was recorded.*\n.*start over with the same result"
    ):
        train(tmp_path, epochs=2)


def damage(file: Path, kind: str, seed: int = 0) -> None:
    content = bytearray(file.read_bytes())
    random = np.random.default_rng(seed)
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    file.unlink()
    if kind != "missing":
        file.write_bytes({"torn": content[: len(content) // 2], "empty": b""}.get(kind, content))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """A training that was killed after three epochs, with its history; the same one, not killed."""
    folder, history = tmp_path_factory.mktemp("killed"), []
    _, whole = train(folder / "whole", epochs=4, rows=40)
    with pytest.raises(Killed):
        train(folder / "killed", callbacks=[KillAt(3)], heard=history, epochs=4, rows=40)
    return folder / "killed", history, folder / "whole", whole


@pytest.mark.parametrize("kind", ["torn", "empty", "missing", *(f"flip {i}" for i in range(12))])
def test_a_damaged_checkpoint_costs_one_checkpoint(kind: str, killed: Any, tmp_path: Path) -> None:
    """The training goes on from the one before, says so, and ends with the same bits."""
    source, history, whole_folder, whole = killed
    folder = shutil.copytree(source, tmp_path / "copy")
    damage(folder / LAST, kind, seed=int(kind[5:] or 0) if kind.startswith("flip") else 0)
    _, resumed = train(folder, epochs=4, rows=40, earlier=history)
    assert LAST in resumed.note
    assert resumed.note.endswith("training continues from the previous one")
    same(whole_folder, folder, whole, resumed)
    assert not (folder / PREVIOUS).exists()  # a finished training needs one state alone
    assert [file.name for file in folder.glob("best-*")] == [resumed.best_weights.name]


def test_a_folder_in_place_of_a_checkpoint(killed: Any, tmp_path: Path) -> None:
    source, history, whole_folder, whole = killed
    folder = shutil.copytree(source, tmp_path / "copy")
    damage(folder / LAST, "missing")
    (folder / LAST).mkdir()
    with pytest.raises(CorruptRun, match=rf"{LAST}: is a folder, and should be a file\n.*Remove it"):
        train(folder, epochs=4, rows=40, earlier=history)
    (folder / LAST).rmdir()
    _, resumed = train(folder, epochs=4, rows=40, earlier=history)
    assert f"{LAST} is missing" in resumed.note
    same(whole_folder, folder, whole, resumed)


def test_a_damaged_checkpoint_within_an_epoch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 3, "rows": 40, "checkpoint_minutes": 1e-9}
    history: list[dict[str, float]] = []
    _, whole = train(tmp_path / "a", callbacks=[SeesEveryStep()], **options)
    with pytest.raises(Killed):
        train(tmp_path / "b", callbacks=[SeesEveryStep(), KillInEpoch(1, 3)], heard=history, **options)
    damage(tmp_path / "b" / LAST, "flip")
    _, resumed = train(tmp_path / "b", callbacks=[SeesEveryStep()], earlier=history, **options)
    assert resumed.note
    same(tmp_path / "a", tmp_path / "b", whole, resumed)


def test_nothing_is_resumed_if_all_checkpoints_are_damaged(killed: Any, tmp_path: Path) -> None:
    source, history, *_ = killed
    for name in ("best-*", "*.ckpt"):
        folder = shutil.copytree(source, tmp_path / name.strip("*.-"))
        for file in folder.glob(name):
            damage(file, "flip")
        with pytest.raises(CorruptRun, match=r"differs from what was recorded"):
            train(folder, epochs=4, rows=40, earlier=history)


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    train(tmp_path, epochs=1, fit={"run_id": "one"})
    with pytest.raises(CorruptRun, match="the checkpoints belong to another run, one"):
        train(tmp_path, epochs=2, fit={"run_id": "another"})


def test_checkpoints_without_digests_are_resumed_and_get_digests(tmp_path: Path) -> None:
    """As an earlier dlcli left them. Weights that stay the best are vouched for from then on."""
    _, whole = train(tmp_path / "a", epochs=5, lr=0.0)
    _, short = train(tmp_path / "b", epochs=2, lr=0.0)
    (tmp_path / "b" / MANIFEST_FILE).unlink()
    _, longer = train(tmp_path / "b", epochs=4, lr=0.0, earlier=short.history)
    _, longest = train(tmp_path / "b", epochs=5, lr=0.0, earlier=longer.history)
    same(tmp_path / "a", tmp_path / "b", whole, longest)


@pytest.mark.parametrize("time", range(0, 21, 2))
def test_a_kill_while_a_checkpoint_is_written_leaves_a_usable_checkpoint(
    time: int, killed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right before any of its writes, links, renames and removals: nothing counts as damaged."""
    *_, whole_folder, whole = killed
    left = iter(range(time))

    def counted(real: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return real(*arguments, **options)

        return step

    history: list[dict[str, float]] = []
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(manifest, "atomic_write", counted(atomic_write))
        patch.setattr(os, "link", counted(os.link))
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        train(tmp_path, epochs=4, rows=40, heard=history)
    _, resumed = train(tmp_path, epochs=4, rows=40, earlier=history)
    assert resumed.note == ""
    same(whole_folder, tmp_path, whole, resumed)


def test_scores_resume_from_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    from dlcli.tasks.multiclass import Multiclass
    from dlcli.training import scores

    monkeypatch.setattr(scores, "VALUES", 60)
    task = Multiclass(["a", "b", "c"], [10, 10, 10], nn.CrossEntropyLoss())
    outputs, y = torch.randn(50, 3), torch.randint(3, (50,))
    whole, first, second = scores.Scores(task), scores.Scores(task), scores.Scores(task)
    for start in range(0, 50, 5):
        rows = slice(start, start + 5)
        whole.update(outputs[rows], y[rows])
        if start == 35:
            second.load_state_dict(first.state_dict())
        (first if start < 35 else second).update(outputs[rows], y[rows])
    assert second.compute() == whole.compute()
