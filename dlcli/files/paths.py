"""Paths as people read them, and what lies at a path that somebody has typed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

Place = Literal["file", "folder", "device", "nothing", "refused"]


def display(path: Path) -> str:
    """The path as a person at the prompt would write it: relative where it lies below the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def typed(text: str | Path) -> Path:
    """The path that somebody has typed: `~` is a home, where there is one of that name."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~nobody
        return Path(text)


def whole(path: Path) -> Path:
    """The path from the root on, links followed; as it is where they lead in a circle, or no file can be called so."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute()


def look_at(path: Path) -> Place:
    """What lies there, whatever the path is.

    A device is anything that is neither file nor folder (a pipe, a socket, a disk): reading it may never end. Nothing
    is at a path that no file can have, such as one with a name of 300 letters; `refused` is one that the system does
    not let this user look at.
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
    """Whether a file lies there that can be read to its end."""
    return look_at(path) == "file"


def is_folder(path: Path) -> bool:
    """Whether a folder lies there."""
    return look_at(path) == "folder"


def names_in(folder: Path) -> list[str]:
    """What lies in a folder; nothing where it cannot be listed."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 names are all that is wanted
    except (OSError, ValueError):
        return []
