"""The number of cores that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return the number of cores that this process may run on, with the quota of its container."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no control group, or "max"
        quota, period = map(int, _QUOTA.read_text().split())
        found = min(found, max(1, -(-quota // period)))
    return found


def share() -> int:
    """Return this process's share of the cores: at most OMP_NUM_THREADS, which is set for parallel processes."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(int(asked), cores()) if asked.isdecimal() and int(asked) > 0 else cores()
