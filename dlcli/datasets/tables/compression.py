"""Files that may be packed: gzip, bz2, xz, zstd, or a zip with one file in it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from dlcli.datasets.tables.bounds import bounded
from dlcli.errors import DataError, first_line
from dlcli.files.paths import is_file

_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PACKED = (*_OPEN, ".zst", ".zip")

# Of a zip that asks for a password there is a RuntimeError.
_DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)

# The bit of a zip's member that says so.
_ENCRYPTED = 0x1


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
def opened(file: Path | Excerpt, most: int | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where its name says that it is packed; no line is too long for memory.

    `most` is how many bytes there may be, where all of them go into memory.

    Raises:
        DataError: there is no such file, it is damaged, a line is too long, or a zip does not hold one file.
    """
    try:
        if isinstance(file, Excerpt):
            yield io.BytesIO(file.content)
        else:
            with bounded(_open(file), str(file), most) as stream:
                yield stream
    except _DAMAGED as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path | Excerpt, error: Exception) -> DataError:
    if isinstance(error, PermissionError):
        return DataError("may not be read by this user", str(file), "Ask for its permissions: chmod u+r.")
    return DataError(f"cannot be read: {first_line(error)}", str(file), "Copy it anew.")


def format_of(file: Path) -> str:
    """The ending that tells a file's format, in lower case: of what is packed, not of the packing."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] == [".zip"] and is_file(file):
        return PurePosixPath(_member(file).filename).suffix.lower()
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_packed(file: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return file.suffix.lower() in _PACKED


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


def _member(file: Path) -> zipfile.ZipInfo:
    """The one file in a zip; what macOS adds of its own does not count."""
    try:
        with zipfile.ZipFile(file) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
    except _DAMAGED as error:
        raise _unreadable(file, error) from error
    members = [member for member in members if not _is_hidden(member.filename)]
    names = [member.filename for member in members]
    if len(members) != 1:
        raise DataError(
            f"holds {len(names)} files{': ' + ', '.join(names[:3]) if names else ''}",
            str(file),
            "Unpack it: only a zip with a single file in it is read as it is.",
        )
    _refuse_unsafe(file, members[0])
    return members[0]


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in name.split("/"))


def _refuse_unsafe(file: Path, member: zipfile.ZipInfo) -> None:
    """What no program writes that packs a table; nothing is ever unpacked to a file here."""
    name = member.filename
    way = PurePosixPath(name.replace("\\", "/"))
    if way.is_absolute() or ".." in way.parts or name[1:2] == ":":
        raise DataError(
            f"holds a file that would be unpacked elsewhere: {name}",
            str(file),
            "Ask where the file comes from; zip the table anew, without a path.",
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"holds a link and no file: {name}", str(file), "Zip the table itself.")
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"asks for a password: {name}", str(file), "Unpack it, and give the table.")
