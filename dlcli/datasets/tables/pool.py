"""Arrow's memory for large files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pyarrow as pa

from dlcli.process import program

# Bytes from which a file is large.
_LARGE = 1 << 24


def return_freed_memory(file: Path) -> None:
    """Make Arrow return freed memory to the system from now on, if a large file is to be read.

    Arrow's default, mimalloc, keeps as much as half of the size of a large table between the buffers that are in use.
    The pool of the whole process changes, since the columns are converted after the file is read. It is left as it is
    if the user has chosen one, and in a program that imports dlcli, which may use Arrow for other things.
    """
    if not program.is_running or "ARROW_DEFAULT_MEMORY_POOL" in os.environ:
        return
    if file.stat().st_size >= _LARGE:
        with contextlib.suppress(NotImplementedError):  # not part of every build
            pa.set_memory_pool(pa.jemalloc_memory_pool())
