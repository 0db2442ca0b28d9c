"""Errors of the file system, translated into messages with a remedy."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.errors import DiskFull, DlcliError, InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PERMIT = "Change its permissions, or those of the folders above it, or use a copy."
_RENAME = "Give a shorter path, or remove the link."
_REFUSED = {
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: "The file system is read-only: use a copy.",
    errno.ENAMETOOLONG: _RENAME,
    errno.ELOOP: _RENAME,
    errno.EIO: "The disk or the network file system fails: use a copy.",
    errno.ESTALE: "The disk or the network file system fails: use a copy.",
}
_RECORD = "the record"
_RECORD_ELSEWHERE = "record elsewhere: --runs-dir DIR"


@contextmanager
def write_errors(path: Path | str, what: str = _RECORD, elsewhere: str = _RECORD_ELSEWHERE) -> Iterator[None]:
    """Translate an OSError on writing `what` to `path` into an error with a remedy.

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
        place = error.filename2 or path  # what a finished file was to replace
        raise InputError(
            f"cannot write: {reason}", str(place), f"{elsewhere[0].upper()}{elsewhere[1:]}."
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
        if not means_full(error):
            raise
        raise _full(path, _RECORD, _RECORD_ELSEWHERE) from error


def means_full(error: BaseException) -> bool:
    """Return whether an error means that the disk or the quota is full."""
    return (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in str(error)


def refusal(error: BaseException) -> InputError | None:
    """Return the message for a file or folder that the operating system refuses to open; None for other errors.

    Any access to a path may be refused, so commands call this for errors that no function on the way has translated.
    """
    if not isinstance(error, OSError) or error.errno not in _REFUSED or not error.filename:
        return None
    what = os.strerror(error.errno).lower()
    return InputError(f"cannot be opened: {what}", os.fsdecode(error.filename), _REFUSED[error.errno])


def _full(path: Path | str, what: str, elsewhere: str) -> DiskFull:
    return DiskFull(f"no space left for {what}", str(path), f"Free some space, or {elsewhere}.")


def free_space(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
