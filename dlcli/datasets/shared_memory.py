"""Sharing rows between processes by memory mapping.

The driver writes the rows once to an unnamed temporary file, which is removed when the last process that has it open
ends, for whatever reason; workers map it. Arrays (and a table's columns) are mapped without copying or pickling; only
their description is pickled, to a file that no other process can access (PEP 574).
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
_HEAD = struct.Struct("<QQ")  # position and length of the index


class SharedData:
    """Data in an unnamed file, whose descriptor `fd` is passed to the processes that read it."""

    def __init__(self, data: Data, folder: Path) -> None:
        buffers: list[pickle.PickleBuffer] = []
        description = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
        # Use the disk of the results folder, because /tmp may be small.
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
        """Descriptor of the open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_shared(fd: int) -> Data:
    """Map the data of another process; changes to its arrays are private to this process."""
    whole = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_COPY))
    start, length = _HEAD.unpack(whole[: _HEAD.size])
    description, places = pickle.loads(whole[start : start + length])
    data = pickle.loads(description, buffers=[whole[first : first + size] for first, size in places])
    assert isinstance(data, Data)
    return data
