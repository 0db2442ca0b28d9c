"""Disk space that a run holds back, so that its end can be written on a full disk.

The space belongs to a file without a name, which the operating system frees when the process ends, also by a kill.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from dlcli.files.unfinished import temporary_name

_BYTES = 512 * 1024

# Reserves that have been returned: process, device and descriptor. File systems take long to allocate and free them.
_spare: list[tuple[int, int, int]] = []


class Reserve:
    """Disk space on the device of a folder, half a mebibyte.

    Raises:
        OSError: there is not enough space.
    """

    def __init__(self, folder: Path) -> None:
        self._device = os.stat(folder).st_dev  # noqa: PTH116 called for each run
        self._file: int | None = _taken(self._device)
        if self._file is None:
            self._file = _allocated(folder)

    def release(self) -> None:
        """Free the space."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def hand_on(self) -> None:
        """Keep the space for the next run of this process."""
        if _spare:
            self.release()
        elif self._file is not None:
            _spare.append((os.getpid(), self._device, self._file))
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def free_spare() -> None:
    """Free the space that is kept for the next run."""
    while _spare:
        os.close(_spare.pop()[-1])


def _taken(device: int) -> int | None:
    """Return a spare reserve on a device, or None."""
    while _spare:
        pid, of, file = _spare.pop()
        if (pid, of) == (os.getpid(), device):
            return file
        os.close(file)  # of another device, or of the process that has forked this one, which holds its space
    return None


def _allocated(folder: Path) -> int:
    place = folder / temporary_name("reserve")
    file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        place.unlink()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, _BYTES)
        else:
            left = memoryview(bytes(_BYTES))
            while left:
                left = left[os.write(file, left) :]
    except BaseException:
        os.close(file)
        raise
    return file
