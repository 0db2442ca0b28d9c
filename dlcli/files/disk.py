"""Errors of the file system, translated into messages that say what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.errors import DiskFull, DlcliError, InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_RECORD = "the record"
_RECORD_ELSEWHERE = "record elsewhere: --runs-dir DIR"


@contextmanager
def write_errors(path: Path | str, what: str = _RECORD, elsewhere: str = _RECORD_ELSEWHERE) -> Iterator[None]:
    """Translate an OSError on writing `what` to `path` into an error that says what to do.

    A BrokenPipeError is not translated: it only means that the reader has read enough.

    Raises:
        DiskFull: The disk or the quota is full.
        InputError: The operating system refuses for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path, what, elsewhere) from error
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"cannot write: {reason}", str(path), f"{elsewhere[0].upper()}{elsewhere[1:]}."
        ) from error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate errors of a full disk from libraries: torch and safetensors raise their own types.

    Raises:
        DiskFull: The disk or the quota is full.
    """
    try:
        yield
    except DlcliError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in _FULL
        if not full and "No space left on device" not in str(error):
            raise
        raise _full(path, _RECORD, _RECORD_ELSEWHERE) from error


def _full(path: Path | str, what: str, elsewhere: str) -> DiskFull:
    return DiskFull(f"no space left for {what}", str(path), f"Free some space, or {elsewhere}.")


def free_space(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
