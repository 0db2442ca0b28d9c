"""Trials a minute with two slots beside one, on two cores, at any OMP_NUM_THREADS; the workers' start counted apart.

Each pair is the same sweep with `--jobs 1` and `--jobs 2`, in turn. What counts is the time from the end of the first
trials, one of each slot, to that of the last: the rate of a sweep of any length.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TRIALS, PAIRS = 10, 2
THREADS = ("unset", "1", "2", "4")
COMMAND = [
    "dataset=digits", "model=cnn", "trainer.max_epochs=3", "trainer.accelerator=cpu", "callbacks=none",
    "sweep/sampler=random", "sweep.refit=false", "optimizer.lr=tag(log,interval(1e-3,1e-2))", f"sweep.trials={TRIALS}",
]  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rate(folder, "1", 1)  # makes the store, warms the file cache
        print(f"{'OMP_NUM_THREADS':18}{'--jobs 1':>10}{'--jobs 2':>10}{'ratio':>8}   trials a minute")
        for threads in THREADS:
            pairs = [(rate(folder, threads, 1), rate(folder, threads, 2)) for _ in range(PAIRS)]
            one, two = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
            ratios = sorted(b / a for a, b in pairs)
            spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(
                f"{threads:18}{one:10.1f}{two:10.1f}{statistics.median(ratios):8.2f}   {spread}", flush=True
            )


def rate(folder: str, threads: str, jobs: int) -> float:
    """Trials a minute, in a process of its own: threads are settled when torch is loaded."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if threads != "unset":
        environment["OMP_NUM_THREADS"] = threads
    command = [sys.executable, "-m", "bench.slots", folder, str(jobs)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def one(folder: str, jobs: int) -> None:
    from dlcli import runner
    from dlcli.sweeps.trial import Trial
    from dlcli.sweeps.watcher import SweepWatcher

    ends: list[float] = []

    class Clock(SweepWatcher):
        def ended(self, trial: Trial, best: Trial | None) -> None:
            ends.append(time.monotonic())

    runner.sweep([*COMMAND, f"executor.jobs={jobs}", f"runs_dir='{folder}'"], watcher=Clock())
    # The first trial of each slot has the start of its worker in it.
    print(json.dumps(60 * (TRIALS - jobs) / (ends[-1] - ends[jobs - 1])))


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]))
