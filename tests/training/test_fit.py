from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import BATCH, ROWS, Reverse, SeesEveryStep, data, figures, train
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file
from torch import nn

from dlcli.errors import Diverged
from dlcli.models.tabm import TabM
from dlcli.training.fit import CHUNK, takes_chunks
from dlcli.training.loader import BatchLoader, derive_seed


def test_chunks_of_steps_give_the_same_bits_as_single_steps(tmp_path: Path) -> None:
    watcher = SeesEveryStep()
    chunked, fast = train(tmp_path / "a")
    stepped, slow = train(tmp_path / "b", callbacks=[watcher])
    assert watcher.steps == 3 * ROWS // BATCH
    for one, other in zip(chunked.parameters(), stepped.parameters(), strict=True):
        assert torch.equal(one, other)
    assert figures(fast) == figures(slow)


@pytest.mark.parametrize(
    "arguments",
    [
        {"gradient_clip_val": 1.0},
        {"accumulate_grad_batches": 2},
        {"max_steps": 10},
        {"precision": "16-mixed"},
        {"val_check_interval": 0.5},
        {"limit_train_batches": 3},
        {"fast_dev_run": True},
        {"strategy": "fsdp"},
    ],
    ids=str,
)
def test_whatever_asks_for_single_steps_gets_them(arguments: dict[str, Any]) -> None:
    assert takes_chunks({"max_epochs": 3, "accelerator": "auto", "devices": 1, "precision": 32}, [])
    assert not takes_chunks(arguments, [])


def test_a_callback_without_step_hooks_leaves_the_chunks_alone() -> None:
    class EpochsOnly(Callback):
        def on_train_epoch_end(self, *_: Any) -> None: ...

    assert takes_chunks({}, [EpochsOnly()])
    assert not takes_chunks({}, [SeesEveryStep()])


def test_clipping_and_accumulation_reach_the_optimizer(tmp_path: Path) -> None:
    plain, _ = train(tmp_path / "a")
    clipped, _ = train(tmp_path / "b", gradient_clip_val=0.01)
    gathered, _ = train(tmp_path / "c", accumulate_grad_batches=5)
    weights = [next(n.parameters()) for n in (plain, clipped, gathered)]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    network, fitted = train(tmp_path, epochs=4, callbacks=[Reverse()])
    losses = [epoch["val/loss"] for epoch in fitted.history]
    assert fitted.best_epoch == int(np.argmin(losses)) < 2
    assert [file.name for file in tmp_path.glob("best-*")] == [fitted.best_weights.name]
    network.model.load_state_dict(load_file(fitted.best_weights))
    val = data(50, seed=1)
    loss = nn.functional.cross_entropy(network.eval()(val), val["y"])
    assert loss.item() == pytest.approx(losses[fitted.best_epoch], rel=1e-6)


def test_the_last_checkpoint_loads_without_pickled_code(tmp_path: Path) -> None:
    _, fitted = train(tmp_path)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["epoch"] == 2
    assert state["callbacks"]["Checkpoints"]["best_epoch"] == fitted.best_epoch
    assert len(state["optimizer_states"]) == 1


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path: Path) -> None:
    with pytest.raises(Diverged) as caught:
        train(tmp_path, epochs=50, lr=1e30)
    (problem,) = caught.value.problems
    assert "in epoch 1, step 2 of 25" in problem.message
    assert "Lower optimizer.lr (it is 1e+30)" in problem.hint
    assert "precision" not in problem.hint  # it is 32 already


def test_weights_of_the_epochs_before_it_diverged_are_kept(tmp_path: Path) -> None:
    class Explode(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 2:
                module.optimizers().param_groups[0]["lr"] = 1e30

    with pytest.raises(Diverged):
        train(tmp_path, epochs=5, callbacks=[Explode()])
    assert (tmp_path / "last.ckpt").exists()
    kept = list(tmp_path.glob("best-*.safetensors"))  # the best, and the one of the checkpoint before
    assert kept
    assert all(value.isfinite().all() for file in kept for value in load_file(file).values())


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_an_epoch_has_every_row_once(chunk: int | None) -> None:
    loader = BatchLoader({"x": torch.arange(10), "y": torch.arange(10)}, 4, shuffle=True, chunk=chunk)
    orders = []
    for epoch in (0, 1, 0):
        loader.epoch = epoch
        items = list(loader)
        assert len(items) == len(loader)
        batches = items if chunk is None else [batch for item in items for batch in item]
        assert [len(batch["x"]) for batch in batches] == [4, 4, 2]
        orders.append(torch.cat([batch["x"] for batch in batches]).tolist())
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[2] != orders[1]


def test_in_training_no_batch_has_a_single_row_left_over() -> None:
    """Batch normalization has no spread to measure in one row."""
    for rows, expected in ((9, [4, 5]), (13, [4, 4, 5]), (1, [1]), (5, [5])):
        loader = BatchLoader({"x": torch.arange(rows)}, 4, shuffle=True)
        assert [len(batch["x"]) for batch in loader] == expected
        assert len(loader) == len(expected)
    assert [len(batch["x"]) for batch in BatchLoader({"x": torch.arange(9)}, 4)] == [4, 4, 1]
    assert len(BatchLoader({"x": torch.arange(3)}, 1, shuffle=True)) == 3


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {derive_seed(seed, *path) for seed in range(10) for path in [(), (0,), (1,), (0, 1), (1, 0)]}
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, 0) == derive_seed(0, 0)


def test_a_chunk_is_read_lazily() -> None:
    assert CHUNK > 1
    loader = BatchLoader({"x": torch.arange(100)}, 10, chunk=5)
    first = next(iter(loader))
    assert len(first) == 5
    assert next(iter(first))["x"].tolist() == list(range(10))


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_first_of_equally_good_epochs_is_the_best(tmp_path: Path, mode: str) -> None:
    _, fitted = train(tmp_path, epochs=3, lr=0.0, options={"mode": mode})
    assert len({epoch["val/loss"] for epoch in fitted.history}) == 1
    assert fitted.best_epoch == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there, for which steps look")
def test_steps_do_not_look_for_a_gpu_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    seen = []

    class Look(SeesEveryStep):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK"))

    train(tmp_path, epochs=1, callbacks=[Look()])
    assert set(seen) == {None}


def test_an_ensemble_has_the_same_loss_on_training_and_validation_rows(tmp_path: Path) -> None:
    """What is minimized is the mean of the members' losses, which is above the loss of the ensemble."""
    torch.manual_seed(0)
    model = TabM((4,), 2, members=4, hidden=8, numbers="plain")
    network, fitted = train(tmp_path, epochs=1, lr=0.0, model=model)
    rows = data()
    with torch.no_grad():
        ensemble = nn.functional.cross_entropy(network.eval()(rows), rows["y"])
    assert fitted.history[0]["train/loss"] == pytest.approx(ensemble.item(), rel=1e-5)
