"""Available memory, and freed memory that the process keeps."""

from __future__ import annotations

import ctypes
import os

import psutil

# Parameters of glibc's mallopt(3), and their values in bytes: the most free memory at the end of the heap, and the
# size from which memory is not taken from the heap, which is the largest that glibc would choose by itself.
_KEPT = {-1: 1 << 28, -3: 1 << 25}


def free_memory() -> int:
    """Return the bytes of memory that are available to this process."""
    return int(psutil.virtual_memory().available)


def keep_freed_memory() -> None:
    """Keep up to 256 MB that this process frees, so that it is not returned and requested anew in each training step.

    The kernel clears each page that a process requests, which took up to a third of the CPU time of a small
    convolutional network's steps. Allocators other than glibc's, and settings in the environment, are left unchanged.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, Windows, musl
        return
    for parameter, value in _KEPT.items():
        mallopt(parameter, value)
