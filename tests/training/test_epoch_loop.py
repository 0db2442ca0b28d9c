"""Property: the loop over epochs and those of Lightning give equal bits, with the same events and checkpoints.

Lightning's loops are run with torch's own optimizer steps and batches that are read one by one.

`DLCLI_LOOPS=200` tries as many random combinations of settings; a failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SeesEveryStep, train
from pytorch_lightning.callbacks import Callback, EarlyStopping
from safetensors.torch import load_file
from test_resume_property import Moments, assert_equal, measured, run, settings

from dlcli.errors import Diverged
from dlcli.events import EpochDone, Event
from dlcli.training import fit as fitting_module
from dlcli.training import module as module_module
from dlcli.training.checkpoints import Checkpoints
from dlcli.training.fit import FitResult
from dlcli.training.loader import BatchLoader

CASES = int(os.environ.get("DLCLI_LOOPS", "8"))

# What needs Lightning's loops.
_STEPWISE = (
    "accumulate_grad_batches",
    "gradient_clip_val",
    "max_steps",
    "min_steps",
    "limit_train_batches",
    "precision",
    "max_time",
    "detect_anomaly",
)


def chunked(seed: int) -> Callable[[], dict[str, Any]]:
    """Return random settings without what needs Lightning's loops."""

    def make() -> dict[str, Any]:
        made = settings(seed)()
        callbacks = [one for one in made["callbacks"] if isinstance(one, EarlyStopping)]
        return {k: v for k, v in made.items() if k not in _STEPWISE} | {"callbacks": callbacks}

    return make


class Log(Moments):
    """Also keeps every event, and the whole content of each checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def listen(self, event: Event) -> None:
        super().listen(event)
        if isinstance(event, EpochDone):
            kept = {k: v for k, v in event.metrics.items() if k != "samples_per_second"}
            self.events.append(("epoch", event.epoch, kept))
        else:
            self.events.append(event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        with super().watching(), pytest.MonkeyPatch.context() as patch:
            save = Checkpoints._save

            def saving(checkpoints: Checkpoints, trainer: Any) -> None:
                save(checkpoints, trainer)
                self.events.append(torch.load(checkpoints._folder / "last.ckpt", weights_only=True))

            patch.setattr(Checkpoints, "_save", saving)
            yield


@pytest.fixture(name="looped")
def _looped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each training run took the loop."""
    taken: list[bool] = []
    decide = fitting_module.can_loop
    monkeypatch.setattr(
        fitting_module, "can_loop", lambda *args: taken.append(decided := decide(*args)) or decided
    )
    return taken


def with_lightning(folder: Path, make: Callable[[], dict[str, Any]], log: Log) -> FitResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting_module, "can_loop", lambda *_: False)
        patch.setattr(module_module, "can_step_directly", lambda *_: False)
        patch.setattr(BatchLoader, "_has_small_batches", lambda *_: False)
        return run(folder, make, log)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(CASES))
def test_the_loop_equals_lightnings(seed: int, tmp_path: Path, looped: list[bool]) -> None:
    make, ours, theirs = chunked(seed), Log(), Log()
    try:
        fast = run(tmp_path / "a", make, ours)
        slow = with_lightning(tmp_path / "b", make, theirs)
    finally:
        torch.use_deterministic_algorithms(False)
    assert looped == [True]
    assert_equal(ours.events, theirs.events, "events")
    assert_equal(measured(fast), measured(slow), "history")
    assert fast.best_epoch == slow.best_epoch
    assert_equal(load_file(fast.best_weights), load_file(slow.best_weights), "weights")
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == sorted(
        file.name for file in (tmp_path / "b").iterdir()
    )


class OwnCallback(Callback):
    """A callback of somebody's own."""


@pytest.mark.parametrize(
    "asks",
    [
        {"callbacks": [SeesEveryStep()]},
        {"callbacks": [OwnCallback()]},
        {"precision": "bf16-mixed"},
        {"max_time": "00:01:00:00"},
        {"profiler": "simple"},
        {"gradient_clip_val": 1.0},
    ],
    ids=["step hooks", "own callback", "precision", "time", "profiler", "clipping"],
)
def test_all_else_is_lightnings(asks: dict[str, Any], tmp_path: Path, looped: list[bool]) -> None:
    train(tmp_path, epochs=1, rows=16, **asks)
    assert looped == [False]


def test_an_error_keeps_the_best_weights_and_ends_the_trainer(tmp_path: Path, looped: list[bool]) -> None:
    """As with Lightning, `on_exception` of the callbacks is called."""

    def fails(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 1:
            raise Diverged("stop")

    with pytest.raises(Diverged):
        train(tmp_path, options={"listen": fails, "saves_bounds": False})
    assert looped == [True]
    assert (tmp_path / "best-0000.safetensors").exists()
