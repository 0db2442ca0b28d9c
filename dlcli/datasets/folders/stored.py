"""Files that can be read repeatedly: on disk, or inside an archive that is not unpacked."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Protocol

from dlcli.errors import DataError

# Size of the fixed part of a zip member's local header, and the offset of the lengths of its name and extra field.
_LOCAL, _LENGTHS = 30, slice(26, 30)

# Compression methods of zip members.
STORED, DEFLATED = 0, 8


class Stored(Protocol):
    """A file or file-like object of `size` bytes that can be read repeatedly."""

    @property
    def name(self) -> str:
        """Name, relative to the dataset."""

    @property
    def where(self) -> str:
        """Place, for messages."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, or the first `most`."""


@dataclass(frozen=True)
class FileEntry:
    """A file of a dataset: `size` bytes from `offset` on in the file `path`; `name` is relative to the dataset."""

    name: str
    path: str
    offset: int
    size: int

    @property
    def where(self) -> str:
        """Path of the file, or of the archive with the name of the file in it."""
        return f"{self.path}: {self.name}" if self.offset else self.path

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, or the first `most`."""
        if not self.size:
            return b""
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 faster than Path.open for millions of files
            if self.offset:
                file.seek(self.offset)
            return file.read(self.size if most is None else min(most, self.size))


@dataclass(frozen=True)
class MemoryEntry:
    """A file whose `content` is in memory, such as an upload."""

    name: str
    content: bytes

    @property
    def where(self) -> str:
        """The name."""
        return self.name

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content)

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, or the first `most`."""
        return self.content[:most]


@dataclass(frozen=True)
class ZipEntry:
    """A member of a zip archive. Each read opens the archive, so that threads and processes do not interfere.

    Attributes:
        name: name in the archive.
        path: the archive.
        header: offset of the member's local header.
        packed: compressed size in bytes.
        size: size in bytes.
        method: compression method, stored or deflated.
        checksum: CRC-32 of the bytes.
    """

    name: str
    path: str
    header: int
    packed: int
    size: int
    method: int
    checksum: int

    @property
    def where(self) -> str:
        """Path of the archive with the name of the file in it."""
        return f"{self.path}: {self.name}"

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, after verifying the checksum, or the first `most`.

        Raises:
            DataError: the member is damaged.
        """
        wanted = self.size if most is None else min(most, self.size)
        content = self._content(wanted) if wanted else b""
        if len(content) < wanted:
            raise self._damaged("it ends before the end of the file")
        if wanted == self.size and zlib.crc32(content) != self.checksum:
            raise self._damaged("the file's checksum differs")
        return content

    def _content(self, wanted: int) -> bytes:
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 as for `FileEntry`
            file.seek(self.header)
            local = file.read(_LOCAL)
            if len(local) < _LOCAL:
                raise self._damaged("it ends before the end of the file")
            name, extra = struct.unpack("<HH", local[_LENGTHS])
            file.seek(self.header + _LOCAL + name + extra)
            if self.method == STORED:
                return file.read(wanted)
            packed = file.read(self.packed)
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, wanted)
        except zlib.error as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataError:
        return DataError(f"the archive is damaged: {why}", self.where, "Copy the archive again.")
