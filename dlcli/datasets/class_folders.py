"""Listing files in class folders, or in a tar archive of them that is read without unpacking."""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder

# Names of folders above the class folders, and the part of the split that they stand for.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


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
    """A file of a dataset, stored as `size` bytes from `offset` of the file `path`; `name` is relative."""

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
            file.seek(self.offset)
            return file.read(self.size if most is None else min(most, self.size))


@dataclass(frozen=True)
class Listing:
    """Files with their class and part.

    Attributes:
        entries: the files.
        labels: class of each file.
        parts: train, val or test for each file; "" if there are no such folders.
        empty: class folders without files.
    """

    entries: list[FileEntry]
    labels: list[str]
    parts: list[str]
    empty: list[str]


def list_class_folders(path: Path, suffixes: Collection[str], noun: str, alternative: str) -> Listing:
    """List the files of a folder or tar with one folder per class, optionally below train/, test/ and val/.

    Folders that contain nothing but one folder are skipped. Hidden files, and files without one of the suffixes, are
    ignored. For messages, `noun` is the kind of files in the plural, and `alternative` is what else the user can give.

    Raises:
        DataError: the path does not exist, cannot be read without unpacking, or contains no such files.
    """
    if is_folder(path):
        entries, folders = _in_folder(path, suffixes)
    elif is_file(path):
        entries, folders = _in_tar(path, suffixes)
    else:
        raise DataError(
            "there is no such file or folder", str(path), "Give dataset.path=FOLDER or a .tar file."
        )
    parents = {entry: PurePosixPath(entry.name).parts[:-1] for entry in entries}
    top = _common(list(parents.values()))
    depths = {folder[len(top)] for folder in parents.values() if len(folder) > len(top)}
    in_parts = bool(depths) and depths <= set(PARTS)
    level = len(top) + in_parts
    found = [entry for entry in entries if len(parents[entry]) > level]
    if not found:
        raise DataError(
            f"contains no folder with {noun}",
            str(path),
            f"Give a folder that has one folder of {noun} per class, or {alternative}.",
        )
    labels = [parents[entry][level] for entry in found]
    parts = [PARTS[parents[entry][level - 1]] if in_parts else "" for entry in found]
    full = {parents[entry][: level + 1] for entry in found}
    classes = {folder for folder in folders if len(folder) == level + 1 and folder[: len(top)] == top}
    inside = "/" if path.is_dir() else ": "
    empty = sorted(f"{path}{inside}{'/'.join(folder)}" for folder in classes - full)
    return Listing(found, labels, parts, empty)


def list_files(path: Path, suffixes: Collection[str], noun: str) -> list[FileEntry]:
    """List the files with one of the suffixes in a folder and its subfolders, or in a tar, in sorted order.

    Raises:
        DataError: there are no such files, or the tar cannot be read without unpacking.
    """
    entries, _ = _in_folder(path, suffixes) if is_folder(path) else _in_tar(path, suffixes)
    if not entries:
        raise DataError(f"contains no {noun}", str(path))
    return entries


def _common(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the leading folders that all files share, without the last level."""
    if not folders:
        return ()
    least, most = min(folders), max(folders)
    shared = 0
    while shared < min(len(least), len(most)) and least[shared] == most[shared]:
        shared += 1
    # If all files are in one folder, that folder is the only class or part.
    return least[: min(shared, min(map(len, folders)) - 1)] if shared else ()


def _in_folder(root: Path, suffixes: Collection[str]) -> tuple[list[FileEntry], set[tuple[str, ...]]]:
    entries, folders = [], set()
    for above, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        folder = Path(above)
        place = folder.relative_to(root)
        folders.add(place.parts)
        for name in sorted(names):
            if _is_wanted(name, suffixes):
                file = folder / name
                entries.append(FileEntry((place / name).as_posix(), str(file), 0, _size(file)))
    return entries, folders


def _size(file: Path) -> int:
    """Return the size in bytes; a broken link counts as an empty file."""
    return file.stat().st_size if file.exists() else 0


def _is_tar(file: Path) -> bool:
    """Return whether a file is a tar archive; `tarfile` raises an error for compressed data without an end."""
    try:
        return tarfile.is_tarfile(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def _in_tar(file: Path, suffixes: Collection[str]) -> tuple[list[FileEntry], set[tuple[str, ...]]]:
    if not _is_tar(file):
        raise DataError("is neither a folder nor a .tar file", str(file), "Unpack it, and give the folder.")
    try:
        with tarfile.open(file, "r:") as tar:  # an uncompressed archive, whose members can be read at random
            members = tar.getmembers()
    except tarfile.TarError as error:
        raise DataError(
            "a compressed archive cannot be read without unpacking",
            str(file),
            f"Unpack it: tar xf {file.name}",
        ) from error
    folders = {PurePosixPath(member.name).parts for member in members if member.isdir()}
    end = file.stat().st_size  # a header may claim more bytes than the file has
    entries = [
        FileEntry(
            str(PurePosixPath(member.name)),
            str(file),
            member.offset_data,
            max(0, min(member.size, end - member.offset_data)),
        )
        for member in members
        if member.isfile() and _is_wanted(PurePosixPath(member.name).name, suffixes)
    ]
    return sorted(entries, key=lambda entry: PurePosixPath(entry.name).parts), folders


def _is_wanted(name: str, suffixes: Collection[str]) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in suffixes
