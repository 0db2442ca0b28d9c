"""Opening files that may be compressed with gzip, bz2, xz or zstd, or a zip archive with a single file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from dlcli.datasets.tables.bounds import bounded
from dlcli.errors import DataError, first_line
from dlcli.files.damaged_archives import DAMAGED_ZIP
from dlcli.files.paths import is_file

_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PACKED = (*_OPEN, ".zst", ".zip")

# Flag of an encrypted zip member.
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a text file in memory, which are read like a complete file.

    Attributes:
        file: the file that they come from, for messages.
        content: the lines.
        before: number of lines before them in the file.
    """

    file: Path
    content: bytes
    before: int = 0

    def __str__(self) -> str:
        return str(self.file)


def at_line(file: Path | Excerpt, number: int) -> str:
    """Return the place of a line for messages, such as `wine.csv:12`."""
    return f"{file}:{number + (file.before if isinstance(file, Excerpt) else 0)}"


@contextmanager
def opened(file: Path | Excerpt, most: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, decompressing it according to its name, with a limit on the length of lines.

    `most` is the maximum number of bytes, for a file that is read into memory at once.

    Raises:
        DataError: the file does not exist or is damaged, a line is too long, or a zip does not contain one file.
    """
    try:
        if isinstance(file, Excerpt):
            yield io.BytesIO(file.content)
        else:
            with bounded(_open(file), str(file), most) as stream:
                yield stream
    except DAMAGED_ZIP as error:
        raise _read_error(file, error) from error


def _read_error(file: Path | Excerpt, error: Exception) -> DataError:
    if isinstance(error, PermissionError):
        return DataError(
            "cannot be read by this user", str(file), "Change its permissions, such as with chmod u+r."
        )
    return DataError(f"cannot be read: {first_line(error)}", str(file), "Copy it again.")


def format_of(file: Path) -> str:
    """Return the suffix of a file's format in lower case, without that of the compression."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] == [".zip"] and is_file(file):
        return PurePosixPath(_member(file).filename).suffix.lower()
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_packed(file: Path) -> bool:
    """Return whether a file's name indicates compression."""
    return file.suffix.lower() in _PACKED


def _open(file: Path) -> Any:
    packing = file.suffix.lower()
    if packing in _OPEN:
        return _OPEN[packing](file, "rb")
    if packing == ".zst":
        return pa.input_stream(str(file), compression="zstd")
    if packing == ".zip":
        with zipfile.ZipFile(file) as packed:  # the member stays open after the archive is closed
            return packed.open(_member(file))
    return file.open("rb")


def _member(file: Path) -> zipfile.ZipInfo:
    """Return the single file in a zip archive, ignoring metadata that macOS adds."""
    try:
        with zipfile.ZipFile(file) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
    except DAMAGED_ZIP as error:
        raise _read_error(file, error) from error
    members = [member for member in members if not _is_hidden(member.filename)]
    names = [member.filename for member in members]
    if len(members) != 1:
        raise DataError(
            f"contains {len(names)} files{': ' + ', '.join(names[:3]) if names else ''}",
            str(file),
            "Unpack it: a zip archive can be read directly only if it contains a single file.",
        )
    _check_safe(file, members[0])
    return members[0]


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in name.split("/"))


def _check_safe(file: Path, member: zipfile.ZipInfo) -> None:
    """Raise an error for suspicious zip members, although nothing is ever unpacked to disk here."""
    name = member.filename
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise DataError(
            f"contains a file that would be unpacked outside of the folder: {name}",
            str(file),
            "Check where the archive comes from, and zip the table again without a path.",
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"contains a link instead of a file: {name}", str(file), "Zip the table itself.")
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"needs a password: {name}", str(file), "Unpack it, and give the table.")
