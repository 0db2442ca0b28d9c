"""Trials a minute with two slots beside one, on two cores, at any OMP_NUM_THREADS; the workers' start counted apart.

Each pair is the same sweep with `--jobs 1` and `--jobs 2`, in turn. What counts is the time from the end of the first
trials, one of each slot, to that of the last: the rate of a sweep of any length. `make bench ARGS="slots 4"` measures
at OMP_NUM_THREADS=4 alone.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time

TRIALS, PAIRS = 20, 2
THREADS = ("unset", "1", "2", "4")
COMMAND = [
    "dataset=digits", "model=cnn", "trainer.max_epochs=3", "trainer.accelerator=cpu", "callbacks=none",
    "sweep/sampler=random", "sweep.refit=false", "optimizer.lr=tag(log,interval(1e-3,1e-2))", f"sweep.trials={TRIALS}",
]  # fmt: skip


def main(*threads: str) -> None:
    if wrong := [word for word in threads if word != "unset" and not word.isdecimal()]:
        sys.exit(f"{wrong[0]} is no OMP_NUM_THREADS: give numbers, or unset")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        rate(folder, "1", 1)  # makes the store, warms the file cache
        print(f"{'OMP_NUM_THREADS':18}{'--jobs 1':>10}{'--jobs 2':>10}{'ratio':>8}   trials a minute")
        for setting in threads or THREADS:
            pairs = [(rate(folder, setting, 1), rate(folder, setting, 2)) for _ in range(PAIRS)]
            one, two = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
            ratios = sorted(b / a for a, b in pairs)
            spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(
                f"{setting:18}{one:10.1f}{two:10.1f}{statistics.median(ratios):8.2f}   {spread}", flush=True
            )


def rate(folder: str, threads: str, jobs: int) -> float:
    """Trials a minute, in a process of its own: threads are settled when torch is loaded."""
    from bench._pairs import measure

    return measure(["bench.slots", folder, str(jobs)], "" if threads == "unset" else threads)["rate"]


def one(folder: str, jobs: int) -> None:
    from dlcli.events import Event, TrialEnded
    from dlcli.process.quiet import quiet
    from dlcli.runner.sweep import sweep

    ends: list[float] = []

    def clock(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ends.append(time.monotonic())

    with quiet():
        sweep([*COMMAND, f"executor.jobs={jobs}", f"runs_dir='{folder}'"], listen=clock)
    # The first trial of each slot has the start of its worker in it.
    print(json.dumps({"rate": 60 * (TRIALS - jobs) / (ends[-1] - ends[jobs - 1])}))


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]))
