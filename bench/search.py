"""Does a search find more than chance? 40 trials by TPE and 40 at random, of an MLP on winequality-red with 5 folds."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data" / "tabular" / "winequality-red.csv"
SEEDS, TRIALS = 5, 40
COMMAND = [
    "dataset=table", "dataset.target=c11", "dataset.types={c11: numeric}", "model=mlp", "trainer.accelerator=cpu",
    "trainer.max_epochs=15", "callbacks=none", "cv=kfold", "cv.folds=5", "sweep.refit=false", f"sweep.trials={TRIALS}",
    "optimizer=adamw", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "optimizer.weight_decay=tag(log,interval(1e-5,1))",
    "model.hidden=tag(log,int(interval(8,256)))", "model.layers=range(1,5)", "model.dropout=interval(0,0.6)",
    "dataset.batch_size=32,64,128,256",
]  # fmt: skip


def main() -> None:
    import dlcli

    if not DATA.exists():
        print(f"needs {DATA}")
        return
    best: dict[str, list[float]] = {"random": [], "tpe": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(SEEDS):
            for sampler, values in best.items():
                chosen = [f"sweep/sampler={sampler}", f"seed={seed}", f"runs_dir={folder}"]
                result = dlcli.sweep([*COMMAND, f"dataset.path={DATA}", *chosen])
                values.append(result.metrics["best/val/loss"])
                print(f"seed {seed}  {sampler:8} best val/loss {values[-1]:.4f}", flush=True)
    for sampler, values in best.items():
        print(f"{sampler:8} mean {statistics.mean(values):.4f}  std {statistics.stdev(values):.4f}")
    wins = sum(tpe < random for tpe, random in zip(best["tpe"], best["random"], strict=True))
    print(f"TPE was better for {wins} of {SEEDS} seeds")
