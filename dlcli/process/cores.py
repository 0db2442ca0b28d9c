"""The number of cores that this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Return the number of cores that the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share() -> int:
    """Return this process's share of the cores: at most OMP_NUM_THREADS, by which parallel processes divide them."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(int(asked), cores()) if asked.isdecimal() and int(asked) > 0 else cores()
