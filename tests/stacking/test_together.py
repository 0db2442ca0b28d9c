"""Property: training runs that take their steps together give what each of them gives alone, within 1e-5.

`DLCLI_STACKS=200` tries as many random combinations of settings; a failure names its seed.
"""

from __future__ import annotations

import inspect
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping
from safetensors.torch import load_file
from torch import Tensor

from dlcli.assembly.optimization import make_schedule
from dlcli.config.build import build
from dlcli.errors import Diverged, Interrupted
from dlcli.events import EpochDone, Event, Listener, ignore
from dlcli.models.linear import Linear
from dlcli.models.mlp import MLP
from dlcli.stacking.together import Together
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Focal, Huber, Quantile
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.regression import Regression
from dlcli.training import checkpoints
from dlcli.training import fit as fitting_module
from dlcli.training.due_steps import Pausing, run_alone
from dlcli.training.fit import FitResult, fit
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe
from dlcli.training.schedules import Schedule
from tests.training.fitting import data, figures

CASES = int(os.environ.get("DLCLI_STACKS", "4"))
CLASSES = ["a", "b", "c"]
CODES = (4, 3)  # of the categories

Make = Callable[..., Pausing[FitResult]]


def tasks(draw: random.Random) -> Task:
    smoothing = draw.choice([0.0, 0.1])
    weights = draw.choice([None, "balanced"])
    counts = [30, 20, 10]
    made: list[Callable[[], Task]] = [
        lambda: Multiclass(CLASSES, counts, CrossEntropy(CLASSES, counts, smoothing, weights)),
        lambda: Multiclass(CLASSES, counts, Focal(CLASSES, counts)),
        lambda: Binary(["no", "yes"], [[9, 7]], BinaryCrossEntropy(["no", "yes"], [[9, 7]], smoothing)),
        lambda: Regression(["u"], [0.0], [1.0], draw.choice([MSE(), MAE(), Huber(0.5)])),
        lambda: Regression(["u", "v"], [0.0, 1.0], [1.0, 2.0], MSE()),
        lambda: Regression(["u"], [0.0], [1.0], Quantile([0.1, 0.5, 0.9])),
    ]
    return draw.choice(made)()


def optimizers(draw: random.Random, k: int) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimizer; those of the runs of a case differ in learning rate and weight decay only."""
    kind = draw.choice(["adam", "adam", "adamw", "sgd", "momentum", "nesterov"])
    groups = draw.random() < 0.4
    own = random.Random(f"{draw.random()} {k}")
    lr, decay = own.choice([0.003, 0.01]), own.choice([0.0, 0.01, 0.1])

    def make(parameters: Any) -> torch.optim.Optimizer:
        given: Any = list(parameters)
        if groups:
            matrices, others = ([p for p in given if (p.ndim > 1) == large] for large in (True, False))
            given = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        if kind.startswith("adam"):
            cls = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
            return cls(given, lr=lr, weight_decay=decay, betas=(0.8, 0.99), fused=True)
        momentum = 0.0 if kind == "sgd" else 0.9
        return torch.optim.SGD(given, lr, momentum, weight_decay=decay, nesterov=kind == "nesterov")

    return make


def schedules(draw: random.Random) -> dict[str, Any]:
    interval = draw.choice(["epoch", "step"])
    sections: list[dict[str, Any]] = [
        {},
        {"_target_": "dlcli.training.schedules.cosine", "interval": interval},
        {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "threshold": 0.3},
    ]
    section = draw.choice(sections)
    return {"make_schedule": partial(make_schedule, section)} if section else {}


def case(seed: int) -> tuple[int, Make]:
    """Return a number of training runs of one shape, and the function that makes one of them."""
    size = random.Random(seed).randint(2, 4)

    def make(k: int, folder: Path, listen: Listener = ignore, earlier: Any = ()) -> Pausing[FitResult]:
        draw = random.Random(seed)  # the same for all runs
        task = tasks(draw)
        columns, categories = draw.randint(1, 5), draw.random() < 0.4
        rows = draw.choice([20, 33, 50]) + draw.choice([0, k, 9 * k])
        generator = torch.Generator().manual_seed(seed * 100 + k)
        fields: dict[str, Tensor] = {"x": torch.randn(rows + 20, columns, generator=generator)}
        if categories:
            fields["x_cat"] = torch.stack(
                [torch.randint(0, codes, (rows + 20,), generator=generator) for codes in CODES], dim=1
            )
        fields["y"] = torch.randint(0, 3, (rows + 20,), generator=generator)
        if isinstance(task, Binary):
            fields["y"] = (fields["y"][:, None] > 0).float()
        elif isinstance(task, Regression):
            fields["y"] = torch.randn(rows + 20, len(task.names), generator=generator)
        hidden: Any = draw.choice([5, [6], [8, 8, 3], 33])
        given = {
            "hidden": hidden,
            "activation": draw.choice(["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]),
            "normalization": draw.choice(["none", "none", "layer"]),
            "residual": draw.random() < 0.3 and hidden not in ([6],),
        }
        drops, linear = draw.random() < 0.4, draw.random() < 0.15
        torch.manual_seed(k)
        shape = {"input_shape": (columns,), "num_outputs": task.num_outputs}
        shape |= {"cardinalities": CODES} if categories else {}
        model = Linear(**shape) if linear else MLP(**shape, **given, dropout=(k + 1) / 10 if drops else 0.0)
        epochs = draw.randint(2, 5)
        callbacks = [EarlyStopping("val/loss", patience=1)] if draw.random() < 0.5 else []
        batch = draw.choice([4, 8, 16, 64])
        trainer = {"accelerator": "cpu", "max_epochs": epochs}
        target = {"_target_": "pytorch_lightning.Trainer", **trainer}
        recipe = Recipe(
            make_optimizer=optimizers(draw, k),
            make_trainer=partial(build, target, where="trainer"),
            batch_size=batch,
            seed=k,
            callbacks=callbacks,
            trainer_arguments=trainer,
            checkpoint_minutes=draw.choice([1e-9, 10.0]),
            **schedules(draw),
        )
        train, val = (
            {name: v[part] for name, v in fields.items()} for part in (slice(rows), slice(rows, None))
        )
        network = Network(model, combine=task.combined, finish=task.outputs)
        return fit(
            network, task, train, val, recipe, folder=folder, listen=listen, description={}, earlier=earlier
        )

    return size, make


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_module, "CHUNK", 3)
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", -1.0)  # each epoch is written
    monkeypatch.setattr(checkpoints, "_SECONDS_EACH", -1.0)


def folders(place: Path, size: int) -> list[Path]:
    made = [place / str(k) / "checkpoints" for k in range(size)]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def alone(make: Make, place: Path, size: int) -> list[FitResult]:
    return [run_alone(make(k, folder, ignore)) for k, folder in enumerate(folders(place, size))]


def together(make: Make, place: Path, size: int) -> dict[int, Any]:
    return dict(
        Together([make(k, folder, ignore) for k, folder in enumerate(folders(place, size))]).outcomes()
    )


def assert_close(one: Any, other: Any, where: str, atol: float = 1e-5) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"samples_per_second"}:
            assert_close(one[key], other[key], f"{where}.{key}", atol)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_close(*pair, f"{where}.{index}", atol)
    elif torch.is_tensor(one) or isinstance(one, float):
        a, b = torch.as_tensor(one).double(), torch.as_tensor(other).double()
        torch.testing.assert_close(
            a, b, rtol=atol, atol=atol, equal_nan=True, msg=lambda text: f"{where}: {text}"
        )
    else:
        assert one == other, where


def state(folder: Path) -> dict[str, Any]:
    """Return what decides how a run would continue."""
    found = torch.load(folder / "last.ckpt", weights_only=True)
    return {
        name: found[name]
        for name in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch")
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(CASES))
def test_runs_give_together_what_each_gives_alone(seed: int, tmp_path: Path) -> None:
    size, make = case(seed)
    expected = alone(make, tmp_path / "alone", size)
    found = together(make, tmp_path / "together", size)
    for k, one in enumerate(expected):
        if isinstance(found[k], Exception):
            raise found[k]
        assert found[k].sharing.runs == size, found[k].sharing.why_alone
        assert_close(found[k].history, one.history, f"run {k}: history")
        assert found[k].best_epoch == one.best_epoch
        assert_close(load_file(found[k].best_weights), load_file(one.best_weights), f"run {k}: weights")
        own, other = (tmp_path / name / str(k) / "checkpoints" for name in ("together", "alone"))
        assert sorted(file.name for file in own.iterdir()) == sorted(file.name for file in other.iterdir())
        assert_close(state(own), state(other), f"run {k}: last.ckpt", atol=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", (1, 4))
def test_interrupted_runs_continue_alone(seed: int, tmp_path: Path) -> None:
    size, make = case(seed)
    expected = alone(make, tmp_path / "alone", size)
    places = folders(tmp_path / "together", size)
    seen: list[int] = []

    def stop(event: Event) -> None:
        seen.extend([event.epoch] if isinstance(event, EpochDone) else [])
        if len(seen) == size + 1:  # in the second epoch of the first run
            raise Interrupted(signal.SIGTERM)

    runs = Together([make(k, folder, stop) for k, folder in enumerate(places)])
    with pytest.raises(Interrupted):
        dict(runs.outcomes())
    for k, one in enumerate(expected):
        history = one.history[: len(one.history)]
        resumed = run_alone(make(k, places[k], ignore, history))
        assert_close(resumed.history, one.history, f"run {k}: history")
        assert_close(load_file(resumed.best_weights), load_file(one.best_weights), f"run {k}: weights")


def test_a_run_that_diverges_leaves_the_others_unchanged(tmp_path: Path) -> None:
    def make(k: int, folder: Path, lr: float = 0.01) -> Pausing[FitResult]:
        return fit_of_rows(k, folder, lr if k != 1 else 1e30)

    size = 3
    expected = [
        run_alone(make(k, folder)) for k, folder in enumerate(folders(tmp_path / "alone", size)) if k != 1
    ]
    places = folders(tmp_path / "together", size)
    found = dict(Together([make(k, folder) for k, folder in enumerate(places)]).outcomes())
    assert isinstance(found[1], Diverged)
    with pytest.raises(Diverged) as alone_error:
        run_alone(make(1, tmp_path / "alone" / "1" / "checkpoints"))
    assert str(found[1]) == str(alone_error.value)
    for k, one in zip((0, 2), expected, strict=True):
        assert_close(found[k].history, one.history, f"run {k}")


def test_the_times_of_runs_leave_out_the_others(tmp_path: Path) -> None:
    started = time.perf_counter()
    found = together(lambda k, folder, _: fit_of_rows(k, folder, 0.01), tmp_path, 3)
    wall = time.perf_counter() - started
    epochs = [epoch for one in found.values() for epoch in one.history]
    assert sum(40 / epoch["samples_per_second"] for epoch in epochs) < wall
    assert all(one.sharing.waited > 0 for one in found.values())


def test_runs_without_others_of_their_shape_end_one_after_the_other(tmp_path: Path) -> None:
    """Of six shapes the last occurs twice; at most four runs wait for another of their shape."""
    sizes = (3, 4, 5, 6, 7, 8, 8)
    runs = [
        fit_of_rows(k, folder, 0.01, hidden=sizes[k])
        for k, folder in enumerate(folders(tmp_path, len(sizes)))
    ]
    ended: dict[int, Any] = {}
    for place, outcome in Together(runs).outcomes():
        ended[place] = outcome
        if place == 0:
            assert inspect.getgeneratorstate(runs[5]) == inspect.GEN_CREATED
    assert list(ended) == list(range(len(sizes)))
    reasons = [one.sharing.why_alone for one in ended.values()]
    assert reasons == ["no other network of its shape"] * 5 + ["", ""]


def test_weights_are_read_where_no_epoch_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best weights are those of an epoch before the last one, whose weights the network has."""
    monkeypatch.setattr(checkpoints, "_EPOCH_SECONDS", 1e9)
    monkeypatch.setattr(checkpoints, "_SECONDS_EACH", 1e9)
    last: list[list[dict[str, Tensor]]] = [[], []]

    def make(k: int, folder: Path, is_stacked: int) -> Pausing[FitResult]:
        return fit_of_rows(k, folder, 3.0 * (k + 1), epochs=5, seen=last[is_stacked])

    expected = [run_alone(make(k, folder, 0)) for k, folder in enumerate(folders(tmp_path / "alone", 3))]
    runs = [make(k, folder, 1) for k, folder in enumerate(folders(tmp_path / "together", 3))]
    found = dict(Together(runs).outcomes())
    ends_best = True
    for k, one in enumerate(expected):
        assert found[k].best_epoch == one.best_epoch
        ends_best = ends_best and one.best_epoch == 4
        assert_close(load_file(found[k].best_weights), load_file(one.best_weights), f"run {k}: weights")
    assert not ends_best
    assert_close(last[1], last[0], "networks")


@pytest.mark.parametrize("draws_in_epochs", (False, True))
def test_each_run_has_random_numbers_of_its_own(draws_in_epochs: bool, tmp_path: Path) -> None:
    """A run draws from all generators before and after its epochs, and in them if a part of it may."""

    class Drawing(torch.optim.lr_scheduler.ConstantLR):
        def step(self, epoch: int | None = None) -> None:
            super().step()
            drawn.append(random.random() + np.random.rand())

    Drawing.__module__ = "of_the_user"
    drawn: list[float] = []

    def make(k: int, folder: Path) -> Pausing[list[float]]:
        random.seed(k)
        np.random.seed(k)
        schedule = {"make_schedule": lambda optimizer, length: Schedule(Drawing(optimizer, 0.5), "epoch")}
        settings = schedule if draws_in_epochs else {}
        yield from fit_of_rows(k, folder, 0.01, settings=settings)
        return [random.random(), np.random.rand(), float(torch.rand(()))]

    expected = [run_alone(make(k, folder)) for k, folder in enumerate(folders(tmp_path / "alone", 3))]
    in_epochs, drawn[:] = sorted(drawn), []
    found = dict(Together([make(k, f) for k, f in enumerate(folders(tmp_path / "together", 3))]).outcomes())
    assert [found[k] for k in range(3)] == expected
    assert sorted(drawn) == in_epochs
    assert bool(drawn) == draws_in_epochs


def test_what_has_no_stacked_form_is_trained_alone_with_the_same_bits(tmp_path: Path) -> None:
    def make(k: int, folder: Path) -> Pausing[FitResult]:
        return fit_of_rows(k, folder, 0.01, normalization="batch")

    expected = [run_alone(make(k, folder)) for k, folder in enumerate(folders(tmp_path / "alone", 2))]
    runs = Together([make(k, folder) for k, folder in enumerate(folders(tmp_path / "together", 2))])
    found = dict(runs.outcomes())
    for k, one in enumerate(expected):
        assert found[k].sharing.runs == 1
        assert found[k].sharing.why_alone == "the layer BatchNorm1d"
        assert figures(found[k]) == figures(one)


def test_runs_with_other_numbers_of_chunks_keep_their_rows(tmp_path: Path) -> None:
    """With 22 and 20 steps per epoch, chunks of 20 steps become due in another order than that of the runs."""

    def make(k: int, folder: Path) -> Pausing[FitResult]:
        return fit_of_rows(k, folder, 0.01, rows=(176, 160, 176)[k], epochs=3)

    expected = [run_alone(make(k, folder)) for k, folder in enumerate(folders(tmp_path / "alone", 3))]
    found = dict(Together([make(k, f) for k, f in enumerate(folders(tmp_path / "together", 3))]).outcomes())
    for k, one in enumerate(expected):
        assert found[k].sharing.runs == 3
        assert_close(found[k].history, one.history, f"run {k}: history")
        assert_close(load_file(found[k].best_weights), load_file(one.best_weights), f"run {k}: weights")


def test_only_the_run_whose_loss_is_not_finite_fails(tmp_path: Path) -> None:
    """With 257 steps per epoch, losses are checked within the epoch."""

    def make(k: int, folder: Path) -> Pausing[FitResult]:
        return fit_of_rows(k, folder, 1e30 if k == 1 else 0.01, rows=2056, epochs=1)

    places = folders(tmp_path, 3)
    found = dict(Together([make(k, folder) for k, folder in enumerate(places)]).outcomes())
    assert [isinstance(found[k], Diverged) for k in range(3)] == [False, True, False]


def fit_of_rows(
    k: int,
    folder: Path,
    lr: float,
    rows: int = 40,
    epochs: int = 2,
    settings: Mapping[str, Any] = MappingProxyType({}),
    seen: list[dict[str, Tensor]] | None = None,
    **model: Any,
) -> Pausing[FitResult]:
    """Run a training on some rows, whose last weights are appended to `seen`."""
    torch.manual_seed(k)
    network = Network(MLP((4,), 2, **{"hidden": 6, "dropout": 0.1, **model}))
    task = Multiclass(["no", "yes"], [20, 20], CrossEntropy(["no", "yes"], [20, 20]))
    trainer = {"accelerator": "cpu", "max_epochs": epochs}
    recipe = Recipe(
        make_optimizer=partial(torch.optim.SGD, lr=lr),
        make_trainer=partial(build, {"_target_": "pytorch_lightning.Trainer", **trainer}, where="trainer"),
        batch_size=8,
        seed=k,
        trainer_arguments=trainer,
        **settings,
    )
    found = yield from fit(
        network, task, data(rows, k), data(10, 9), recipe, folder=folder, listen=ignore, description={}
    )
    if seen is not None:
        seen.append(network.model.state_dict())
    return found
