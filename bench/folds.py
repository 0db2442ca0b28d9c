"""What a fold costs beyond its fit: iris, a small MLP; CPU time, imports and the store counted apart."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
import time

FOLDS, RUNS = 10, 3
COMMAND = [
    "dataset=iris", "model=mlp", "model.hidden=16", "trainer.max_epochs=10", "trainer.accelerator=cpu",
    "callbacks=none", "cv=kfold",
]  # fmt: skip


def main() -> None:
    from bench._pairs import measure

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measure(["bench.folds", folder])  # makes the store, warms the file cache
        figures = [measure(["bench.folds", folder]) for _ in range(RUNS)]
    for name in figures[0]:
        print(f"{name:40}{statistics.median(figure[name] for figure in figures):8.3f}")


def one(folder: str) -> None:
    for name in (
        "hydra",
        "matplotlib.figure",
        "pytorch_lightning",
        "skops.io",
        "sklearn",
        "torchvision",
        "pyarrow",
    ):
        importlib.import_module(name)
    import pytorch_lightning as pl

    import dlcli

    fits = 0.0
    original = pl.Trainer.fit

    def timed(*arguments: object, **options: object) -> None:
        nonlocal fits
        start = time.process_time()
        original(*arguments, **options)
        fits += time.process_time() - start

    pl.Trainer.fit = timed  # type: ignore[method-assign]
    dlcli.train([*COMMAND, "cv.folds=2", f"runs_dir={folder}"])
    totals = []
    for folds in (2, FOLDS):
        fits, start = 0.0, time.process_time()
        dlcli.train([*COMMAND, f"cv.folds={folds}", f"runs_dir={folder}"])
        totals.append((time.process_time() - start, fits))
    more = FOLDS - 2
    whole, fit = ((b - a) / more for a, b in zip(*totals, strict=True))
    print(json.dumps({"CPU seconds of a fold": whole, "of its fit": fit, "beyond its fit": whole - fit}))


if __name__ == "__main__":
    one(sys.argv[1])
