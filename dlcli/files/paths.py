"""Paths for display, paths typed by a user, and the kind of file at a path."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

Place = Literal["file", "folder", "device", "nothing", "refused"]


def display(path: Path) -> str:
    """Return the path as text, relative to the current folder if it lies below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def typed(text: str | Path) -> Path:
    """Return the path of a user's text, with `~` expanded if that home folder exists."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~nobody
        return Path(text)


def resolved(path: Path) -> Path:
    """Return the resolved absolute path; without following links if they form a loop or the name is invalid."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute()


def kind_at(path: Path) -> Place:
    """Return the kind of file at a path; never raises.

    A `device` is anything that is neither file nor folder (a pipe, a socket, a disk): reading it may never end. An
    invalid path, such as one with a name of 300 letters, is `nothing`. A path without permission is `refused`.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return "refused"
    except (OSError, ValueError):
        return "nothing"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device"


def is_file(path: Path) -> bool:
    """Return whether there is a regular file at the path."""
    return kind_at(path) == "file"


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at the path."""
    return kind_at(path) == "folder"


def list_names(folder: Path) -> list[str]:
    """Return the sorted names of the files in a folder; an empty list if it cannot be listed."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 only the names are needed
    except (OSError, ValueError):
        return []
