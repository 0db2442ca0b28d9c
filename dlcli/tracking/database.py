"""The SQLite file of a store: there whole, or not at all.

MLflow makes its tables in seventy steps, each committed by itself; a kill in between leaves a file that MLflow neither
takes nor mends. So a fresh file is made beside and renamed into place, and so is the upgraded copy of an older one.
What others have left half made is recognised here.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from dlcli.errors import StoreError
from dlcli.files.disk import write_errors
from dlcli.tracking import schema
from dlcli.tracking.damage import journals, move_away, moved, sqlite_problem, unused
from dlcli.tracking.locks import taken, wait_for_lock

_LOCK_TIMEOUT = 300.0  # seconds; a fresh store takes about one, filling one with a thousand runs about ten
_PATIENCE = 10.0  # seconds to wait for another program that writes

_log = logging.getLogger(__name__)


def ensure(file: Path, tell: Callable[[str], None] = _log.warning) -> None:
    """See to it that a store's file is there, whole, and of this MLflow's schema; sixteen processes may do so at once.

    `tell` gets a line for whatever was upgraded or set aside; what holds anything is never deleted. Raises StoreError
    for a file that is damaged, locked, or of a newer MLflow, and InputError where the folder cannot be written.
    """
    if _was_seen_whole(file):
        return
    with locked_store(file):
        if _was_seen_whole(file):
            return
        for leftover in file.parent.glob(f".{file.name}.*.new*"):  # of makers that were killed
            leftover.unlink(missing_ok=True)
        if not _is_absent(file):
            _mend(file, tell)
            return
        for journal in journals(file):  # SQLite would take it for the new file's
            kept = moved(journal, file, unused(file, "lost"))
            journal.rename(kept)
            tell(f"A journal without its database lay in the place of a new MLflow store; it is {kept} now.")
        _put_in_place(file, schema.make_fresh)


@contextlib.contextmanager
def locked_store(file: Path) -> Iterator[None]:
    """One process at a time makes a store, experiments and datasets, or fills it: MLflow crashes when several do."""
    from filelock import FileLock

    path = Path(f"{file}.lock")
    if not path.parent.is_dir():  # which the lock would make again
        hint = "Was it moved or deleted meanwhile?"
        raise StoreError("the folder of the store is gone", str(path.parent), hint)
    with write_errors(path.parent):
        lock = FileLock(path)
        wait_for_lock(functools.partial(taken, lock), path, _LOCK_TIMEOUT, "the store")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there; what was written is committed where the block ends well."""
    address = f"file:{quote(str(file))}?mode=rw"
    try:
        with (
            contextlib.closing(sqlite3.connect(address, timeout=_PATIENCE, uri=True)) as connection,
            connection,
        ):
            yield connection
    except sqlite3.Error as error:
        problem = sqlite_problem(str(error), str(file), file)
        raise problem or StoreError(f"the store cannot be read: {error}", str(file)) from error


def _was_seen_whole(file: Path) -> bool:
    if _is_absent(file):
        return False
    with opened(file) as connection:
        return schema.was_seen_whole(connection)


def _is_absent(file: Path) -> bool:
    if file.is_dir():
        hint = f"Move it away: {move_away(file)}"
        raise StoreError("a folder lies where the store's file belongs", str(file), hint)
    with write_errors(file.parent):
        return not file.exists() or file.stat().st_size == 0


def _mend(file: Path, tell: Callable[[str], None]) -> None:
    """Make a file that is there into a whole store of this MLflow's schema."""
    known = schema.known_revisions()
    with opened(file) as connection:
        found = schema.revisions(connection)
        if found == known[:1] and schema.is_complete(connection):
            schema.note_whole(connection)
            return
        if not set(found) <= set(known):
            raise _of_another_program(file, connection)
        is_empty = not schema.holds_anything(connection)
    if is_empty:
        _put_in_place(file, schema.make_fresh)
        return
    try:
        kept = _put_in_place(file, functools.partial(schema.upgrade_copy, file), keep="before-upgrade")
        tell(f"The MLflow store was of an older MLflow and was upgraded; as it was before, it is {kept}")
    except schema.HalfUpgradedError as error:
        kept = _put_in_place(file, schema.make_fresh, keep="half-upgraded")
        tell(
            f"An upgrade of the MLflow store had been cut off ({error}). A new one was made; that one is {kept}"
        )


def _of_another_program(file: Path, connection: sqlite3.Connection) -> StoreError:
    if "experiments" in schema.tables(connection):
        what, hint = "the store was made by a newer MLflow", "Install that one: pip install --upgrade mlflow"
    else:
        what, hint = "the file is another program's database", "Name another file in MLFLOW_TRACKING_URI."
    return StoreError(f"{what} (schema {', '.join(schema.revisions(connection))})", str(file), hint)


def _put_in_place(file: Path, make: Callable[[Path], None], keep: str = "") -> Path | None:
    """Put what `make` writes in a file's place, in one step; where `keep` says so, the old one stays under that name.

    A kill leaves the old file or the new one. A journal goes first: SQLite would roll the new file back by it.
    """
    made = file.with_name(f".{file.name}.{secrets.token_hex(4)}.new")
    try:
        make(made)
        with write_errors(file.parent):
            with made.open("rb+") as written:
                os.fsync(written.fileno())
            kept = unused(file, keep) if keep else None
            if kept:
                _link(file, kept)
            for journal in journals(file):
                if kept:
                    journal.rename(moved(journal, file, kept))
                else:
                    journal.unlink()
            made.replace(file)
            return kept
    finally:
        for leftover in file.parent.glob(f"{made.name}*"):
            leftover.unlink(missing_ok=True)


def _link(file: Path, kept: Path) -> None:
    try:
        os.link(file, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(file, kept)
