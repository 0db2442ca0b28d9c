"""Read arrays (`.npz`) and archives of a run, with limits on their unpacked sizes.

A few megabytes of compressed zeros unpack to gigabytes. The headers of the arrays contain their sizes, which are
checked before anything is unpacked.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from numpy.lib import format as npy

from dlcli.files.regular import check_regular, open_regular
from dlcli.formatting import amount
from dlcli.process.memory import free_memory

if TYPE_CHECKING:
    import numpy as np


# Bytes for which there is always memory; looking that up takes longer than reading a small array.
_ALWAYS_THERE = 1 << 20


class ArrayHeader(NamedTuple):
    """Shape and type of an array, and the bytes that it takes in memory and in the file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    unpacked: int
    packed: int


class Arrays:
    """The arrays of an open `.npz` file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def header(self, name: str) -> ArrayHeader:
        """Return the dtype and shape that the file declares for an array, without reading it.

        Raises:
            ValueError: It is not a plain array, or its size disagrees with that of the archive's member.
        """
        member = self._archive.getinfo(f"{name}.npy")
        with self._archive.open(member) as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream)
            start = stream.tell()
        if dtype.hasobject:
            raise ValueError(f"{name} contains objects")
        unpacked = math.prod(shape) * dtype.itemsize
        if start + unpacked != member.file_size or min(shape, default=0) < 0:
            raise ValueError(f"{name} has another size than its header says")
        return ArrayHeader(shape, dtype, unpacked, member.compress_size)

    def read(self, name: str) -> np.ndarray:
        """Return an array; callers check its header before, against the expected shape.

        Raises:
            ValueError: See `header`, or there is not enough memory for it.
        """
        check_memory(self.header(name).unpacked, name)
        with self._archive.open(f"{name}.npy") as stream:
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
        return array


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Open an `.npz` file; a damaged one raises OSError, ValueError and others."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield Arrays(archive)


def check_stored(path: Path) -> None:
    """Check that an archive has no compressed members, so that its contents are no larger than the file.

    Raises:
        OSError: It is not a regular file.
        ValueError: It has compressed members, or is larger than the memory.
        zipfile.BadZipFile: It is not an archive.
    """
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size = path.stat().st_size
    unpacked = sum(member.file_size for member in members)
    if unpacked > size or any(member.file_size != member.compress_size for member in members):
        raise ValueError("it has compressed contents")
    check_memory(size, "the file")


def check_memory(size: int, what: str) -> None:
    """Check that there is memory for a number of bytes.

    Raises:
        ValueError: There is not enough memory.
    """
    if size > _ALWAYS_THERE and size > (free := free_memory()):
        raise ValueError(f"{what} takes {amount(size)} of memory, of which {amount(free)} are free")
