"""Files in class folders, or in a tar of them that is read where it lies."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder

# Folders above the classes that say which part their files belong to.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class Stored(Protocol):
    """A file, or what is like one: `size` bytes that can be read again and again."""

    @property
    def name(self) -> str:
        """What it is called among others."""

    @property
    def where(self) -> str:
        """Where people find it."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, most: int | None = None) -> bytes:
        """The bytes, or the first `most` of them."""


@dataclass(frozen=True)
class Entry:
    """A file's bytes: `size` of them from `offset` on, in the file at `path`; `name` is relative to the dataset."""

    name: str
    path: str
    offset: int
    size: int

    @property
    def where(self) -> str:
        """The file, or the archive and the file in it."""
        return f"{self.path}: {self.name}" if self.offset else self.path

    def read(self, most: int | None = None) -> bytes:
        """The bytes, or the first `most` of them."""
        if not self.size:
            return b""
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 a str opens faster, a million times
            file.seek(self.offset)
            return file.read(self.size if most is None else min(most, self.size))


@dataclass(frozen=True)
class Listing:
    """Files with their class and part (train, val or test; empty where there are no such folders)."""

    entries: list[Entry]
    labels: list[str]
    parts: list[str]
    empty: list[str]


def list_class_folders(path: Path, suffixes: Collection[str], noun: str, instead: str) -> Listing:
    """The files of a folder or a tar with a folder for each class, or with train/ and test/ (and val/) above those.

    Folders that hold nothing but one folder are passed through. Hidden files, and files without one of the suffixes,
    are left out. `noun` says what the files are, in the plural; `instead`, what else may be given.

    Raises:
        DataError: there is no such file or folder, it cannot be read where it lies, or it holds no such files.
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
            f"holds no folder with {noun} in it",
            str(path),
            f"One folder for each class is wanted, with {noun} in it; or give {instead}.",
        )
    labels = [parents[entry][level] for entry in found]
    parts = [PARTS[parents[entry][level - 1]] if in_parts else "" for entry in found]
    full = {parents[entry][: level + 1] for entry in found}
    classes = {folder for folder in folders if len(folder) == level + 1 and folder[: len(top)] == top}
    inside = "/" if path.is_dir() else ": "
    empty = sorted(f"{path}{inside}{'/'.join(folder)}" for folder in classes - full)
    return Listing(found, labels, parts, empty)


def list_files(path: Path, suffixes: Collection[str], noun: str) -> list[Entry]:
    """The files of a folder and those below it, or of a tar, that have one of the suffixes, in order.

    Raises:
        DataError: there is none, or the tar cannot be read where it lies.
    """
    entries, _ = _in_folder(path, suffixes) if is_folder(path) else _in_tar(path, suffixes)
    if not entries:
        raise DataError(f"holds no {noun}", str(path))
    return entries


def _common(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders that all files lie in, above the last level."""
    if not folders:
        return ()
    least, most = min(folders), max(folders)
    shared = 0
    while shared < min(len(least), len(most)) and least[shared] == most[shared]:
        shared += 1
    # All files in one folder: that is the (only) class, or the part.
    return least[: min(shared, min(map(len, folders)) - 1)] if shared else ()


def _in_folder(root: Path, suffixes: Collection[str]) -> tuple[list[Entry], set[tuple[str, ...]]]:
    entries, folders = [], set()
    for above, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        folder = Path(above)
        place = folder.relative_to(root)
        folders.add(place.parts)
        for name in sorted(names):
            if _is_wanted(name, suffixes):
                file = folder / name
                entries.append(Entry((place / name).as_posix(), str(file), 0, _size(file)))
    return entries, folders


def _size(file: Path) -> int:
    """Bytes; none behind a link that leads nowhere, which is then as an empty file."""
    return file.stat().st_size if file.exists() else 0


def _in_tar(file: Path, suffixes: Collection[str]) -> tuple[list[Entry], set[tuple[str, ...]]]:
    if not tarfile.is_tarfile(file):
        raise DataError("is neither a folder nor a .tar", str(file), "Unpack it, and give the folder.")
    try:
        with tarfile.open(file, "r:") as tar:  # not compressed: any file in it can be read by itself
            members = tar.getmembers()
    except tarfile.TarError as error:
        raise DataError(
            "a compressed archive cannot be read where it lies", str(file), f"Unpack it: tar xf {file.name}"
        ) from error
    folders = {PurePosixPath(member.name).parts for member in members if member.isdir()}
    end = file.stat().st_size  # a header may claim more than there is
    entries = [
        Entry(
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
