"""Pairs of processes in turn, A B A B, so that a drift of the machine's speed falls on both."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence


def measure(arguments: Sequence[str], threads: str | None = None) -> dict[str, float]:
    """Run `python -m ARGUMENTS` and read the JSON line that it prints last.

    `threads` is its OMP_NUM_THREADS: BENCH_THREADS where it is not given, else 1; empty takes the variable away.
    """
    threads = os.environ.get("BENCH_THREADS", "1") if threads is None else threads
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": threads} if threads else {}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        start_new_session=True,  # Ctrl-C is for us, who end it: it has nothing to say of that
    )
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def compare(ours: Sequence[str], theirs: Sequence[str], runs: int = 5) -> None:
    """Print the median of each figure of both, and the median of the ratios, pair by pair."""
    measure(ours), measure(theirs)  # warms the file cache
    pairs = [(measure(ours), measure(theirs)) for _ in range(runs)]
    print(f"{'':24}{'ours':>10}{'theirs':>10}{'ratio':>8}   (lowest to highest ratio of {runs} pairs)")
    for name in pairs[0][0]:
        ratios = sorted(a[name] / b[name] for a, b in pairs)
        a, b = (statistics.median(pair[i][name] for pair in pairs) for i in (0, 1))
        print(
            f"{name:24}{a:10.3f}{b:10.3f}{statistics.median(ratios):8.3f}   ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
