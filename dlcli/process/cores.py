"""The cores that this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Those that the system lets it run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share() -> int:
    """Its own share: OMP_NUM_THREADS at most, by which whoever starts several processes shares them out."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(int(asked), cores()) if asked.isdecimal() and int(asked) > 0 else cores()
