"""Arrow's memory for large files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pyarrow as pa

# Bytes from which a file is large.
_LARGE = 1 << 24


def return_freed_memory(file: Path) -> None:
    """Make Arrow return freed memory to the system while a large file is read, unless the user has chosen a pool.

    Arrow's default, mimalloc, keeps as much as half of the size of a large table between the buffers that are in use.
    """
    if file.stat().st_size >= _LARGE and "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        with contextlib.suppress(NotImplementedError):  # not part of every build
            pa.set_memory_pool(pa.jemalloc_memory_pool())
