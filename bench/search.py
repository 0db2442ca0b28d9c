"""Does a search find more than chance? 40 trials by TPE and 40 at random, of an MLP on winequality-red with 5 folds.

It takes 11 minutes of CPU time, and may be stopped at any time: the sweeps lie in `runs/bench-search`, and go on from
where they were. With a number (`make bench ARGS="search 2"`) it ends after that number of seeds.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcli.api.run_result import RunResult

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "tabular" / "winequality-red.csv"
RUNS = ROOT / "runs" / "bench-search"
SEEDS, TRIALS = 5, 40
SAMPLERS = ("random", "tpe")
COMMAND = [
    "dataset=table", "dataset.target=c11", "dataset.types={c11: numeric}", "model=mlp", "trainer.accelerator=cpu",
    "trainer.max_epochs=4", "callbacks=none", "cv=kfold", "cv.folds=5", "sweep.refit=false", "tracking.keep=0",
    f"sweep.trials={TRIALS}", "optimizer=adamw", "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "optimizer.weight_decay=tag(log,interval(1e-5,1))", "model.hidden=tag(log,int(interval(8,64)))",
    "model.layers=range(1,4)", "model.dropout=interval(0,0.6)", "dataset.batch_size=64,128,256",
]  # fmt: skip


def main(seeds: str = str(SEEDS)) -> None:
    if not DATA.exists():
        print(f"needs {DATA}")
        return
    differences = []
    best: dict[str, list[float]] = {sampler: [] for sampler in SAMPLERS}
    for seed in range(int(seeds)):
        for sampler in SAMPLERS:
            best[sampler].append(searched(sampler, seed).metrics["best/val/loss"])
            print(f"seed {seed}  {sampler:8} best val/loss {best[sampler][-1]:.4f}", flush=True)
        differences.append(best["tpe"][-1] - best["random"][-1])
    for sampler, values in best.items():
        print(f"{sampler:8} mean {statistics.mean(values):.4f}")
    low, high = interval(differences)
    print(
        f"TPE less random, by seed: mean {statistics.mean(differences):+.4f}, 95 % {low:+.4f} to {high:+.4f}"
        f" (t); TPE was better for {sum(d < 0 for d in differences)} of {seeds} seeds"
    )


def searched(sampler: str, seed: int) -> RunResult:
    """A sweep, begun or gone on with; one that is finished is read."""
    import dlcli
    from dlcli.errors import RunNotFound

    name = f"{sampler}-{seed}"
    try:
        return dlcli.resume(name, runs_dir=RUNS)
    except RunNotFound:
        chosen = [f"sweep/sampler={sampler}", f"seed={seed}", f"run_name={name}", f"runs_dir='{RUNS}'"]
        return dlcli.sweep([*COMMAND, f"dataset.path='{DATA}'", *chosen])


def interval(differences: list[float]) -> tuple[float, float]:
    """Student's, of the mean of differences within pairs."""
    from scipy.stats import t

    mean, pairs = statistics.mean(differences), len(differences)
    if pairs < 2:
        return math.nan, math.nan
    half = t.ppf(0.975, pairs - 1) * statistics.stdev(differences) / math.sqrt(pairs)
    return mean - half, mean + half
