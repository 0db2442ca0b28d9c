"""What is wrong with a SQLite file, in words, and how it is moved out of the way."""

from __future__ import annotations

import re
import shlex
from itertools import count
from pathlib import Path

from dlcli.errors import DiskFull, DlcliError, StoreError

_JOURNALS = ("-journal", "-wal", "-shm")


def sqlite_problem(said: str, where: str, file: Path | None = None) -> DlcliError | None:
    """The error behind what SQLite says; None where it says something else. `file` is the store's, if that is known."""
    if "disk is full" in said or "No space left" in said:
        return DiskFull("no space left for the record", where, "Make room there, or record elsewhere.")
    if re.search(r"readonly database|unable to open database|Permission denied", said):
        return StoreError(
            "the store cannot be written", where, "Make it writable, or record elsewhere: --runs-dir DIR."
        )
    if re.search(r"not a database|malformed", said):
        away = f": {move_away(file)}" if file else "."
        return StoreError(
            "the store is damaged",
            where,
            "Restore it from a backup, or move it away; the next command makes a new one, and enters the runs again "
            f"from their ledgers{away}",
        )
    if re.search(r"database( table)? is locked", said):
        hint = "Close the program that writes to it, such as a database browser, and try again."
        return StoreError("another program has the store locked", where, hint)
    return None


def journals(file: Path) -> list[Path]:
    """What SQLite keeps beside a file: parts of its content, and of no other file's."""
    return [path for ending in _JOURNALS if (path := Path(f"{file}{ending}")).exists()]


def unused(file: Path, ending: str) -> Path:
    """A name beside a file's that nothing has yet: `mlflow.db.ENDING`."""
    names = (Path(f"{file}.{ending}{number if number > 1 else ''}") for number in count(1))
    return next(path for path in names if not path.exists() and not journals(path))


def move_away(file: Path) -> str:
    """The command that moves a file, with its journals, to another name."""
    kept = unused(file, "damaged")
    moves = [(file, kept), *((path, moved(path, file, kept)) for path in journals(file))]
    return " && ".join(shlex.join(["mv", str(old), str(new)]) for old, new in moves)


def moved(journal: Path, file: Path, kept: Path) -> Path:
    """Where a file's journal belongs, once the file is called `kept`."""
    return Path(f"{kept}{journal.name[len(file.name) :]}")
