"""Translate SQLite's errors, and name damaged files that are moved away."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from dlcli.errors import DiskFull, DlcliError, StoreError
from dlcli.formatting import shell_line

JOURNALS = ("-journal", "-wal", "-shm")


def sqlite_problem(message: str, where: str, file: Path | None = None) -> DlcliError | None:
    """Return the error for a known message of SQLite; None for other messages.

    Args:
        message: text of an exception.
        where: address of the store.
        file: file of the store, if known.
    """
    if "disk is full" in message or "No space left" in message:
        return DiskFull("no space left for the record", where, "Free some space, or record elsewhere.")
    if re.search(r"readonly database|unable to open database|Permission denied", message):
        return StoreError(
            "the store is not writable", where, "Make it writable, or record elsewhere: --runs-dir DIR."
        )
    if re.search(r"not a database|malformed", message):
        command = f": {move_away(file)}" if file else "."
        return StoreError(
            "the store is damaged",
            where,
            "Restore it from a backup, or move it away; the next command then creates a new store and restores the "
            f"runs from their ledgers{command}",
        )
    if re.search(r"database( table)? is locked", message):
        hint = "Close the program that writes to it, such as a database browser, and try again."
        return StoreError("another program has locked the store", where, hint)
    return None


def journals(file: Path) -> list[Path]:
    """Return the existing SQLite journals of a file, which contain parts of its data."""
    return [path for ending in JOURNALS if (path := Path(f"{file}{ending}")).exists()]


def unused(file: Path, ending: str) -> Path:
    """Return an unused name beside a file: `mlflow.db.ENDING`, with a number if necessary."""
    names = (Path(f"{file}.{ending}{number if number > 1 else ''}") for number in count(1))
    return next(path for path in names if not path.exists() and not journals(path))


def move_away(file: Path) -> str:
    """Return the shell command that renames a file with its journals."""
    kept = unused(file, "damaged")
    moves = [(file, kept), *((path, moved(path, file, kept)) for path in journals(file))]
    return " && ".join(shell_line("mv", str(old), str(new)) for old, new in moves)


def moved(journal: Path, file: Path, kept: Path) -> Path:
    """Return the name of a file's journal after the file is renamed to `kept`."""
    return Path(f"{kept}{journal.name[len(file.name) :]}")
