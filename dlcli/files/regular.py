"""Open files that may come from other users: only regular files, and with a size limit for reading a whole file.

Reading a pipe, a socket or a device might never end, and a sparse file may be larger than the memory. Every file of a
run's folder is therefore opened here.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from dlcli.formatting import amount

_LARGE = 1 << 30  # bytes; below, a file is read in seconds


def check_regular(path: Path) -> None:
    """Check that there is a regular file, before a library opens it by its path. Links are followed.

    Raises:
        OSError: The path is missing or not a regular file; `os_reason` gives the reason.
    """
    about = path.stat()
    _check_mode(about.st_mode, path)
    _check_size(about, path)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: The path is missing or not a regular file; `os_reason` gives the reason.
    """
    check_regular(path)  # first, because opening a device may already have an effect
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_mode(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, at_most: int) -> bytes:
    """Return the content of a regular file of at most `at_most` bytes.

    Raises:
        OSError: The file is larger, or see `open_regular`.
    """
    with open_regular(path) as file:
        content = file.read(at_most + 1) if os.fstat(file.fileno()).st_size <= at_most else None
    if content is None or len(content) > at_most:
        raise OSError(None, f"is larger than {amount(at_most)}", str(path))
    return content


def os_reason(error: OSError) -> str:
    """Return why a file cannot be read, as a predicate for a message: `is not a regular file`."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if error.errno is None and error.strerror:
        return str(error.strerror)
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _check_size(about: os.stat_result, path: Path) -> None:
    """Raise an OSError for a large sparse file, whose zeros would take hours to read."""
    if about.st_size > _LARGE and about.st_blocks * 512 < about.st_size // 16:
        raise OSError(None, f"is sparse: {amount(about.st_size)} with hardly any data", str(path))


def _check_mode(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "is a folder, but should be a file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(None, "is not a regular file", str(path))
