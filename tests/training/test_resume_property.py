"""Property: a run that is killed at any moment, and resumed, equals the uninterrupted run in every setting.

`DLCLI_RESUMES=150` tries as many random combinations of settings and kills; a failure names its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SeesEveryStep, train
from pytorch_lightning.callbacks import Callback, EarlyStopping, GradientAccumulationScheduler, Timer
from safetensors.torch import load_file
from test_schedules import node

from dlcli.assembly.optimization import make_schedule, may_fuse
from dlcli.augmentation.image import mixup
from dlcli.events import EpochDone, Event, StepsDone
from dlcli.models.mlp import MLP
from dlcli.training import fit as fitting_module
from dlcli.training.averaging import EMA, SWA
from dlcli.training.checkpoints import Checkpoints
from dlcli.training.epoch_state import LAST
from dlcli.training.fit import FitResult
from dlcli.training.muon import Muon
from dlcli.training.trainer_arguments import ARGUMENTS
from dlcli.training.watch_gradients import WatchGradients

CASES = int(os.environ.get("DLCLI_RESUMES", "6"))
BATCHES = 7  # of an epoch; the last one is smaller


class Killed(BaseException):
    """Stands in for a kill: no code catches it."""


class StopsAt(Callback):
    """Asks once to stop, within an epoch, as a time limit does; counts steps in its own state."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.seen += 1
        trainer.should_stop = trainer.should_stop or self.seen == self.step

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = state_dict["seen"]


def noise(batch: dict[str, Any]) -> dict[str, Any]:
    """Augment with random numbers, which a resumed epoch has to repeat."""
    return {**batch, "x": batch["x"] + 0.1 * torch.randn_like(batch["x"])}


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, lr=0.02),
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.5),
    "adamw": partial(torch.optim.AdamW, lr=0.02, amsgrad=True),
    "muon": partial(Muon, lr=0.02),
    "lbfgs": partial(torch.optim.LBFGS, lr=0.1, max_iter=2, history_size=3),
}


def settings(seed: int) -> Callable[[], dict[str, Any]]:
    """Return random settings; each call builds the same ones anew, as a new process would."""

    def make() -> dict[str, Any]:
        draw = random.Random(seed)
        trainer: dict[str, Any] = {"epochs": draw.choice([2, 4, 6])}
        callbacks: list[Callback] = []
        optimizer = draw.choice([*OPTIMIZERS, "adam", "sgd"])
        accumulation = draw.choice(["none", "none", "fixed", "changing"]) if optimizer != "lbfgs" else "none"
        if accumulation == "fixed":
            trainer["accumulate_grad_batches"] = draw.choice([2, 3, 20])
        elif accumulation == "changing":
            callbacks.append(GradientAccumulationScheduler({1: draw.choice([2, 3]), 3: 4}))
        if draw.random() < 0.3:
            trainer["gradient_clip_val"] = 0.1
            trainer["gradient_clip_algorithm"] = draw.choice(["norm", "value"])
        if draw.random() < 0.3:
            trainer["max_steps"] = draw.randint(1, 25)
        if draw.random() < 0.2:
            trainer["limit_train_batches"] = draw.choice([3, 5, 0.6])
        if draw.random() < 0.2:
            trainer["precision"] = "bf16-mixed"
        if draw.random() < 0.2:
            trainer["inference_mode"] = False
        for name, value in (
            ("max_time", "01:00:00:00"),
            ("deterministic", True),
            ("benchmark", True),
            ("detect_anomaly", True),
        ):
            if draw.random() < 0.1:
                trainer[name] = value
        if draw.random() < 0.6:
            delta = draw.choice([0.0, 0.05, 1000.0])
            callbacks.append(EarlyStopping("val/loss", patience=draw.choice([1, 2]), min_delta=delta))
        if draw.random() < 0.5:
            trainer["min_epochs"] = draw.randint(1, trainer["epochs"])
        if draw.random() < 0.2 and "max_steps" not in trainer:
            trainer["min_steps"] = draw.randint(1, 25)
        if draw.random() < 0.4:
            callbacks.append(StopsAt(draw.randint(1, 20)))
        if draw.random() < 0.2:
            callbacks.append(SeesEveryStep())
        make_optimizer = OPTIMIZERS[optimizer]
        if optimizer in ("adam", "sgd") and may_fuse(trainer) and draw.random() < 0.5:
            make_optimizer = partial(make_optimizer, fused=True)
        options: dict[str, Any] = {
            "make_optimizer": make_optimizer,
            "checkpoint_minutes": draw.choice([1e-9, 10]),
        }
        if draw.random() < 0.2:
            callbacks.append(WatchGradients())
        schedules = ("none", "cosine", "coslog4", "polynomial", "onecycle", "step", "exponential", "plateau")
        schedule = draw.choice(schedules)
        if schedule == "onecycle" and optimizer in ("lbfgs", "muon"):
            schedule = "cosine"
        if schedule != "none":
            made = node(schedule)
            if schedule != "plateau":
                made = {**made, "interval": draw.choice(["epoch", "step"])}
            options["make_schedule"] = partial(make_schedule, made)
        averaging = draw.choice([None, None, "ema", "swa"])
        if averaging:
            options["averaging"] = EMA(0.8) if averaging == "ema" else SWA(draw.choice([0.0, 0.5, 0.75]))
        if draw.random() < 0.4:
            options["augment"] = draw.choice([noise, partial(mixup, alpha=0.4)])
        monitor = draw.choice(["val/loss", "val/loss", "train/loss", "val/accuracy"])
        options |= {"monitor": monitor, "mode": "max" if monitor == "val/accuracy" else "min"}
        options["keep_last"] = draw.random() < 0.1
        normalization = draw.choice(["none", "batch", "layer"])
        torch.manual_seed(0)
        model = MLP((4,), 2, hidden=8, dropout=draw.choice([0.0, 0.3]), normalization=normalization)
        rows = 8 * BATCHES - draw.choice([0, 3, 5])
        return {**trainer, "callbacks": callbacks, "options": options, "rows": rows, "model": model}

    return make


class Moments:
    """Counts the moments of a run at which it can be killed, and kills it at one of them."""

    def __init__(self, kill_at: int = -1) -> None:
        self.count = 0
        self.epochs: dict[int, dict[str, float]] = {}
        self._kill_at = kill_at

    def pass_by(self) -> None:
        self.count += 1
        if self.count == self._kill_at:
            raise Killed

    def listen(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            self.epochs[event.epoch] = dict(event.metrics)
        if isinstance(event, EpochDone | StepsDone):
            self.pass_by()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Also count the moments before and after each checkpoint."""
        save = Checkpoints._save

        def saving(checkpoints: Checkpoints, trainer: Any) -> None:
            self.pass_by()
            save(checkpoints, trainer)
            self.pass_by()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Checkpoints, "_save", saving)
            patch.setattr(fitting_module, "CHUNK", 2)
            yield


def run(
    folder: Path,
    make: Callable[[], dict[str, Any]],
    moments: Moments,
    earlier: Any = (),
    seconds: float = -1.0,
) -> FitResult:
    """Train; a checkpoint is written after each epoch that ends `seconds` after the one before."""
    made = make()
    options = {**made.pop("options"), "listen": moments.listen, "earlier": list(earlier)}
    with moments.watching(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlcli.training.checkpoints._EPOCH_SECONDS", seconds)
        return train(folder, options=options, **made)[1]


def state(folder: Path) -> dict[str, Any]:
    """Return what decides how a run would continue, without times."""
    found = torch.load(folder / LAST, weights_only=True)
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch", "global_step")
    timers = [name for name in found["callbacks"] if name.startswith(Timer.__name__)]
    for name in timers:
        del found["callbacks"][name]
    return {name: found[name] for name in kept}


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{where}.{index}")
    elif torch.is_tensor(one):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True, msg=where)
    else:
        assert one == other, where


def assert_same(folder: Path, whole: FitResult, resumed: FitResult) -> None:
    assert_equal(measured(whole), measured(resumed), "history")
    assert_equal(state(folder / "whole"), state(folder / "killed"), "state")
    assert whole.best_epoch == resumed.best_epoch
    assert_equal(load_file(whole.best_weights), load_file(resumed.best_weights), "weights")


def measured(fitted: FitResult) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if k != "samples_per_second"} for epoch in fitted.history]


# Values of each argument of the trainer that works, each of which changes what a run of three epochs does, or how.
# `strategy=ddp` with `devices=2` is killed and resumed in tests/distributed/test_ranks.py, with real processes.
EACH: tuple[tuple[str, Any], ...] = (
    ("accelerator", "auto"),
    ("strategy", "auto"),
    ("devices", 1),
    ("num_nodes", 1),
    ("precision", 32),
    ("precision", "bf16-mixed"),
    ("max_epochs", 2),
    ("min_epochs", 3),  # beyond the end that early stopping chooses
    ("max_steps", 10),  # within the second epoch
    ("max_steps", 14),  # at its end
    ("min_steps", 16),  # within the third one
    ("max_time", "00:01:00:00"),
    ("max_time", {"minutes": 5}),
    ("limit_train_batches", 4),
    ("limit_train_batches", 0.5),
    ("accumulate_grad_batches", 2),
    ("accumulate_grad_batches", 5),  # leaves a group of two
    ("accumulate_grad_batches", 50),  # more than there are
    ("gradient_clip_val", 0.05),
    ("gradient_clip_algorithm", "value"),
    ("gradient_clip_algorithm", "norm"),
    ("deterministic", True),
    ("deterministic", "warn"),
    ("benchmark", True),
    ("inference_mode", False),
    ("detect_anomaly", True),
    ("profiler", "simple"),
)
_WITH: dict[str, dict[str, Any]] = {"gradient_clip_algorithm": {"gradient_clip_val": 0.05}}


def alone(name: str, value: Any) -> Callable[[], dict[str, Any]]:
    """Return settings with one argument, and with dropout, momentum, a schedule and early stopping to be resumed."""

    def make() -> dict[str, Any]:
        torch.manual_seed(0)
        trainer = {**_WITH.get(name, {}), ("epochs" if name == "max_epochs" else name): value}
        options = {
            "make_optimizer": OPTIMIZERS["sgd"],
            "make_schedule": partial(make_schedule, {**node("step"), "interval": "step"}),
            "checkpoint_minutes": 1e-9,
        }
        early = EarlyStopping("val/loss", patience=1, min_delta=1000.0 if name.startswith("min_") else 0.0)
        model = MLP((4,), 2, hidden=8, dropout=0.3)
        return {**trainer, "callbacks": [early], "options": options, "rows": 8 * BATCHES - 3, "model": model}

    return make


def test_each_argument_that_works_is_tried() -> None:
    working = {name for name, treatment in ARGUMENTS.items() if treatment.values is None}
    assert {name for name, _ in EACH} == working | {"strategy", "precision"}


@pytest.mark.usefixtures("_any_algorithm")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "value"), EACH, ids=lambda value: str(value).replace(" ", ""))
def test_a_killed_run_with_one_argument_equals_the_uninterrupted_one(
    name: str, value: Any, tmp_path: Path
) -> None:
    """Killed after the first checkpoint within the second epoch, and once more when the next one is written."""
    make, moments = alone(name, value), Moments()
    whole = run(tmp_path / "whole", make, moments)
    epochs: dict[int, dict[str, float]] = {}
    for kill in (moments.count // 2 + 1, 2):
        attempt = Moments(kill)
        with pytest.raises(Killed):
            run(tmp_path / "killed", make, attempt, [epochs[e] for e in sorted(epochs)])
        epochs |= attempt.epochs
    resumed = run(tmp_path / "killed", make, Moments(), [epochs[e] for e in sorted(epochs)])
    assert_same(tmp_path, whole, resumed)


@pytest.fixture
def _any_algorithm() -> Iterator[None]:
    """Allow all algorithms after a test that Lightning has restricted to deterministic ones."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_any_algorithm")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(CASES))
def test_a_killed_run_equals_the_uninterrupted_one(seed: int, tmp_path: Path) -> None:
    make, draw = settings(seed), random.Random(1000 + seed)
    moments = Moments()
    whole = run(tmp_path / "whole", make, moments)
    epochs: dict[int, dict[str, float]] = {}
    resumed = None
    for kill in sorted(draw.sample(range(1, moments.count + 1), k=min(2, moments.count))):
        attempt, seconds = Moments(kill), draw.choice([-1.0, -1.0, 1e9])
        try:
            resumed = run(tmp_path / "killed", make, attempt, [epochs[e] for e in sorted(epochs)], seconds)
        except Killed:
            epochs |= attempt.epochs
        else:  # it had fewer moments left
            break
    else:
        resumed = run(tmp_path / "killed", make, Moments(), [epochs[e] for e in sorted(epochs)])
    assert resumed is not None
    assert_same(tmp_path, whole, resumed)
