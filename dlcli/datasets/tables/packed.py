"""Files that may be packed: gzip, bz2, xz, zstd, or a zip with one file in it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from dlcli.errors import DataError, first_line

_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PACKED = (*_OPEN, ".zst", ".zip")

# Of a zip that asks for a password there is a RuntimeError.
_DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a text file, in memory, read as if they were all of it.

    Attributes:
        file: that they are of, for messages.
        content: the lines.
        before: what their numbers are short of those in the file.
    """

    file: Path
    content: bytes
    before: int = 0

    def __str__(self) -> str:
        return str(self.file)


def at_line(file: Path | Excerpt, number: int) -> str:
    """Where a line is, for messages: `wine.csv:12`."""
    return f"{file}:{number + (file.before if isinstance(file, Excerpt) else 0)}"


@contextmanager
def opened(file: Path | Excerpt) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where its name says that it is packed.

    Raises:
        DataError: there is no such file, it is damaged, or a zip does not hold one file.
    """
    try:
        with io.BytesIO(file.content) if isinstance(file, Excerpt) else _open(file) as stream:
            yield stream
    except _DAMAGED as error:
        raise DataError(f"cannot be read: {first_line(error)}", str(file), "Copy it anew.") from error


def format_of(file: Path) -> str:
    """The ending that tells a file's format, in lower case: of what is packed, not of the packing."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] == [".zip"] and file.is_file():
        return PurePosixPath(_member(file)).suffix.lower()
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open(file: Path) -> Any:
    packing = file.suffix.lower()
    if packing in _OPEN:
        return _OPEN[packing](file, "rb")
    if packing == ".zst":
        return pa.input_stream(str(file), compression="zstd")
    if packing == ".zip":
        with zipfile.ZipFile(file) as packed:  # the member stays open without it
            return packed.open(_member(file))
    return file.open("rb")


def _member(file: Path) -> str:
    """The one file in a zip; what macOS adds of its own does not count."""
    try:
        with zipfile.ZipFile(file) as packed:
            names = [name for name in packed.namelist() if not name.endswith("/")]
    except _DAMAGED as error:
        raise DataError(f"cannot be read: {first_line(error)}", str(file), "Copy it anew.") from error
    names = [
        name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    ]
    if len(names) != 1:
        raise DataError(
            f"holds {len(names)} files{': ' + ', '.join(names[:3]) if names else ''}",
            str(file),
            "Unpack it: only a zip with a single file in it is read as it is.",
        )
    return names[0]
