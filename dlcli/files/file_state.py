"""The state of a file, by which a change of it is detected without reading it."""

from __future__ import annotations

from pathlib import Path


def file_state(path: Path) -> tuple[int, ...] | None:
    """Return numbers that differ after a change of a file: its place on the disk, size and times; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
