"""The folder of an export, which appears only after all of its files have been written and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.errors import InputError
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_folder, kind_at
from dlcli.files.unfinished import unfinished


def check_new_folder(folder: Path, option: str) -> None:
    """Raise an InputError unless a folder is absent or empty; `option` is the one that names it."""
    if not is_folder(folder.parent):
        raise InputError("there is no such folder", str(folder.parent), "Create it, or name another.")
    if kind_at(folder) != "nothing" and (not is_folder(folder) or any(folder.iterdir())):
        raise InputError("is not empty", str(folder), f"Move it away, or name another {option}.")


@contextmanager
def new_folder(folder: Path, what: str) -> Iterator[Path]:
    """Yield a folder to write `what` into, whose files are moved to `folder` if there is no error."""
    there = is_folder(folder)
    place = folder / "unfinished" if there else folder
    with write_errors(folder, what, "write elsewhere"), unfinished(place, folder=True) as made:
        yield made
        if there:  # it may be the current folder, which must not be replaced
            for part in sorted(made.iterdir()):
                part.replace(folder / part.name)
        else:
            made.replace(folder)
