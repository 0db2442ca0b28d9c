"""What a fold and a trial cost beyond their epochs: iris, a small MLP; CPU time, imports and the store counted apart.

A job of E epochs takes a + E b. Jobs of few and of many epochs give both; a is the cost.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

RUNS, FEW_JOBS, MANY_JOBS, FEW_EPOCHS, MANY_EPOCHS = 3, 3, 33, 1, 11
COMMAND = [
    "dataset=iris", "model=mlp", "model.hidden=16", "trainer.accelerator=cpu", "callbacks=none", "executor.jobs=1",
]  # fmt: skip
SEARCH = ["optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.dropout=interval(0,0.5)", "sweep.refit=false"]


def main() -> None:
    from bench._pairs import measure

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measure(["bench.job_cost", folder])  # makes the store, warms the file cache
        figures = [measure(["bench.job_cost", folder]) for _ in range(RUNS)]
    print(f"{'CPU milliseconds':24}{'median':>8}   (lowest to highest of {RUNS})")
    for name in figures[0]:
        values = sorted(1000 * figure[name] for figure in figures)
        print(f"{name:24}{statistics.median(values):8.1f}   ({values[0]:.1f} to {values[-1]:.1f})")


def one(folder: str) -> None:
    import dlcli

    def fold(number: int, epochs: int) -> None:
        dlcli.train(
            [*COMMAND, "cv=kfold", f"cv.folds={number}", f"trainer.max_epochs={epochs}", f"runs_dir={folder}"]
        )

    def trial(number: int, epochs: int) -> None:
        words = [*COMMAND, *SEARCH, f"sweep.trials={number}", f"trainer.max_epochs={epochs}"]
        dlcli.sweep([*words, f"runs_dir={folder}"])

    print(
        json.dumps(
            {f"a {make.__name__} {name}": value for make in (fold, trial) for name, value in _cost(make)}
        )
    )


def _cost(make: Callable[[int, int], None]) -> list[tuple[str, float]]:
    """Return the CPU seconds of a job beyond its epochs, and of an epoch."""

    def seconds(number: int, epochs: int) -> float:
        start = time.process_time()
        make(number, epochs)
        return time.process_time() - start

    make(FEW_JOBS, FEW_EPOCHS)  # imports
    few, many = (
        (seconds(MANY_JOBS, epochs) - seconds(FEW_JOBS, epochs)) / (MANY_JOBS - FEW_JOBS)
        for epochs in (FEW_EPOCHS, MANY_EPOCHS)
    )
    epoch = (many - few) / (MANY_EPOCHS - FEW_EPOCHS)
    return [("beyond its epochs", few - FEW_EPOCHS * epoch), ("an epoch of it", epoch)]


if __name__ == "__main__":
    one(sys.argv[1])
