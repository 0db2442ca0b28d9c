"""What a trial costs beyond its fit: 50 trials of iris, one epoch each; CPU time, imports counted apart."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time

TRIALS, FEW, RUNS = 50, 5, 3
COMMAND = [
    "dataset=iris", "model=mlp", "model.hidden=16", "trainer.max_epochs=1", "trainer.accelerator=cpu", "callbacks=none",
    "optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.dropout=interval(0,0.5)",
]  # fmt: skip


def main() -> None:
    from bench._pairs import measure

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measure(["bench.sweep", folder])  # makes the store, warms the file cache
        figures = [measure(["bench.sweep", folder]) for _ in range(RUNS)]
    for name in figures[0]:
        print(f"{name:40}{statistics.median(figure[name] for figure in figures):8.3f}")


def one(folder: str) -> None:
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
    dlcli.sweep([*COMMAND, "sweep.trials=3", f"runs_dir={folder}"])  # imports
    totals = []
    for trials in (FEW, TRIALS):
        fits, start = 0.0, time.process_time()
        dlcli.sweep([*COMMAND, f"sweep.trials={trials}", f"runs_dir={folder}"])
        totals.append((time.process_time() - start, fits))
    whole, fit = ((b - a) / (TRIALS - FEW) for a, b in zip(*totals, strict=True))
    print(json.dumps({"CPU seconds of a trial": whole, "of its fit": fit, "beyond its fit": whole - fit}))


if __name__ == "__main__":
    one(sys.argv[1])
