"""Available memory."""

from __future__ import annotations

import psutil


def free_memory() -> int:
    """Return the bytes of memory that are available to this process."""
    return int(psutil.virtual_memory().available)
