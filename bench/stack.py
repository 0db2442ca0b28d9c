"""What a step of a small network costs in a stack, as a part of what it costs alone; CPU time, one thread.

A chunk of steps with its metrics, the least of several repetitions: an MLP with two hidden layers, Adam, a table.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from dlcli.config.build import build
from dlcli.events import ignore
from dlcli.models.mlp import MLP
from dlcli.stacking.stack import Stack
from dlcli.tasks.losses import CrossEntropy
from dlcli.tasks.multiclass import Multiclass
from dlcli.training.due_steps import DueSteps, Pausing
from dlcli.training.fit import FitResult, fit
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe

SECONDS = 2.0
# Columns, classes, rows of a batch, batches, hidden units.
SHAPES = ((4, 3, 32, 4, 16), *((20, 2, 64, 20, hidden) for hidden in (32, 64, 128, 256, 512)))
SIZES = (2, 10, 32)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'columns':>8}{'hidden':>8}{'rows':>6}{'networks':>10}{'together':>12}{'alone':>10}{'ratio':>8}")
    for shape in SHAPES:
        for size in SIZES if shape[-1] < 256 else SIZES[:2]:
            together, alone = measured(size, *shape)
            columns, _, rows, _, hidden = shape
            print(
                f"{columns:8}{hidden:8}{rows:6}{size:10}{together * 1e6:9.0f} us{alone * 1e6:7.0f} us"
                f"{together / alone:8.2f}",
                flush=True,
            )


def measured(
    size: int, columns: int, classes: int, rows: int, batches: int, hidden: int
) -> tuple[float, float]:
    """Return the seconds of a step of one network in a stack, and alone."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            training(number, Path(folder) / str(number), columns, classes, rows, batches, hidden)
            for number in range(size)
        ]
        due = [next(run) for run in runs]
        stack, random = Stack([one.module for one in due]), {k: torch.Generator() for k in range(size)}
        times: tuple[list[float], list[float]] = ([], [])
        end = time.process_time() + SECONDS
        while time.process_time() < end:
            start = time.process_time()
            stack.take(dict(enumerate(due)), random)
            between = time.process_time()
            for one in due:
                one.take()
            times[0].append(between - start)
            times[1].append(time.process_time() - between)
            for one in due:
                _forget(one)
        for run in runs:
            run.close()
        together, alone = (min(each) / size / batches for each in times)
        return together, alone


def _forget(one: DueSteps) -> None:
    """Forget what was counted, since the epoch never ends."""
    one.module._losses.clear()
    one.module.scores[0].forget()


def training(
    number: int, folder: Path, columns: int, classes: int, rows: int, batches: int, hidden: int
) -> Pausing[FitResult]:
    folder.mkdir()
    torch.manual_seed(number)
    names, counts = [str(code) for code in range(classes)], [1] * classes
    trainer = {"accelerator": "cpu", "max_epochs": 2}
    recipe = Recipe(
        make_optimizer=partial(torch.optim.Adam, fused=True),
        make_trainer=partial(build, {"_target_": "pytorch_lightning.Trainer", **trainer}, where="trainer"),
        trainer_arguments=trainer,
        batch_size=rows,
        seed=number,
    )
    fields = {"x": torch.randn(rows * batches, columns), "y": torch.randint(0, classes, (rows * batches,))}
    network = Network(MLP((columns,), classes, hidden=hidden))
    task = Multiclass(names, counts, CrossEntropy(names, counts))
    return fit(network, task, fields, fields, recipe, folder=folder, listen=ignore, description={})
