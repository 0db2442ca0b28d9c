"""Rows that several processes read from one place in memory.

The driver writes them once into a file without a name, which vanishes with the last process that has it open,
however that ends; workers map it. Arrays (and a table's columns) are read where they lie, never copied or pickled:
only what describes them is, out of a file that nobody else can reach (PEP 574).
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import tempfile
from pathlib import Path

from dlcli.datasets.data import Data

_ALIGN = 64
_HEAD = struct.Struct("<QQ")  # where the index begins, and its length


class SharedData:
    """Data in a file without a name; `fd` is handed to the processes that read it."""

    def __init__(self, data: Data, folder: Path) -> None:
        buffers: list[pickle.PickleBuffer] = []
        description = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
        # On the disk where the user keeps results: a machine's /tmp may be small.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed with the executor
        places = []
        self._file.seek(_ALIGN)
        for buffer in buffers:
            view = buffer.raw()
            self._file.seek(-self._file.tell() % _ALIGN, os.SEEK_CUR)
            places.append((self._file.tell(), view.nbytes))
            self._file.write(view)
        index = pickle.dumps((description, places), protocol=5)
        start = self._file.tell()
        self._file.write(index)
        self._file.seek(0)
        self._file.write(_HEAD.pack(start, len(index)))
        self._file.flush()

    @property
    def fd(self) -> int:
        """The open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


def read_shared(fd: int) -> Data:
    """Map the data of another process. What is written into its arrays stays in this process."""
    whole = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_COPY))
    start, length = _HEAD.unpack(whole[: _HEAD.size])
    description, places = pickle.loads(whole[start : start + length])
    data = pickle.loads(description, buffers=[whole[first : first + size] for first, size in places])
    assert isinstance(data, Data)
    return data
