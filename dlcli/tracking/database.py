"""Create and upgrade a store's SQLite file atomically.

MLflow creates its tables in seventy separate transactions; a kill in between leaves a file that MLflow can neither use
nor repair. Therefore a new file, or the upgraded copy of an older one, is written beside the target and then renamed.
Incomplete files of other programs are detected.
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
from dlcli.files.paths import kind_at
from dlcli.tracking import schema
from dlcli.tracking.damage import journals, move_away, moved, sqlite_problem, unused
from dlcli.tracking.locks import try_acquire, wait_for_lock

_LOCK_TIMEOUT = 300.0  # seconds; creating a store takes one second, filling it with a thousand runs ten
_HEAD = b"SQLite format 3\0"
_PATIENCE = 10.0  # seconds to wait for another program that is writing

_log = logging.getLogger(__name__)


def ensure(file: Path, tell: Callable[[str], None] = _log.warning) -> None:
    """Create a store's file, or upgrade it to the installed MLflow's schema, if necessary. Process-safe.

    A file with any content is never deleted.

    Args:
        file: path of the file.
        tell: called with a line for each file that was upgraded or renamed.

    Raises:
        StoreError: The file is damaged, locked, or of a newer MLflow.
        InputError: The folder is not writable.
    """
    if is_ready(file):
        return
    with locked_store(file):
        if is_ready(file):
            return
        for leftover in file.parent.glob(f".{file.name}.*.new*"):  # left by processes that were killed
            leftover.unlink(missing_ok=True)
        if not _is_absent(file):
            _repair(file, tell)
            return
        for journal in journals(file):  # SQLite would apply it to the new file
            kept = moved(journal, file, unused(file, "lost"))
            journal.rename(kept)
            tell(
                f"A journal without a database had the name of the new MLflow store's; it was renamed to {kept}."
            )
        _put_in_place(file, schema.make_fresh)


@contextlib.contextmanager
def locked_store(file: Path) -> Iterator[None]:
    """Lock the store for its creation, and for new experiments and datasets, which MLflow cannot insert in parallel."""
    from filelock import FileLock

    path = Path(f"{file}.lock")
    if not path.parent.is_dir():  # the lock would create the folder again
        hint = "Check whether it was moved or deleted meanwhile."
        raise StoreError("the folder of the store no longer exists", str(path.parent), hint)
    with write_errors(path.parent):
        lock = FileLock(path)
        wait_for_lock(functools.partial(try_acquire, lock), path, _LOCK_TIMEOUT, "the store")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def open_database(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to an existing file; changes are committed unless the context raises."""
    with _translated(file), contextlib.closing(_connect(file, "rw")) as connection, connection:
        yield connection


@contextlib.contextmanager
def _looked_at(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection, which does not change another program's file.

    Only if a journal has to be applied, after a process that used the store was killed, SQLite needs to write.
    """
    mode = "rw" if journals(file) else "ro"
    with _translated(file), contextlib.closing(_connect(file, mode)) as connection:
        yield connection


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", timeout=_PATIENCE, uri=True)


@contextlib.contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        problem = sqlite_problem(str(error), str(file), file)
        raise problem or StoreError(f"the store cannot be read: {error}", str(file)) from error


def is_ready(file: Path) -> bool:
    """Return whether an earlier command has found the store's file complete with the installed MLflow."""
    if _is_absent(file):
        return False
    with _looked_at(file) as connection:
        return schema.is_known_complete(connection)


def needs_mlflow(file: Path) -> bool:
    """Return whether `ensure` imports MLflow for a file that is not ready."""
    return not (_is_absent(file) and schema.is_fresh_cached())


def _is_absent(file: Path) -> bool:
    if file.is_dir():
        hint = f"Move it away: {move_away(file)}"
        raise StoreError("the store's path is a folder", str(file), hint)
    if kind_at(file) == "device":  # it would be replaced by a file
        raise StoreError("the store is not a regular file", str(file), "Give another file.")
    with write_errors(file.parent):
        return not file.exists() or file.stat().st_size == 0


def _repair(file: Path, tell: Callable[[str], None]) -> None:
    """Make an existing file a complete store of the installed MLflow's schema."""
    known = schema.known_revisions()
    _refuse_other_programs(file, known)
    with open_database(file) as connection:
        found = schema.revisions(connection)
        if found == known[:1] and schema.is_complete(connection):
            schema.note_complete(connection)
            return
        is_empty = not schema.holds_anything(connection)
    if is_empty:
        _put_in_place(file, schema.make_fresh)
        return
    try:
        kept = _put_in_place(file, functools.partial(schema.upgrade_copy, file), keep="before-upgrade")
        tell(f"The MLflow store was upgraded from an older MLflow; the file before the upgrade is {kept}")
    except schema.HalfUpgradedError as error:
        kept = _put_in_place(file, schema.make_fresh, keep="half-upgraded")
        tell(
            f"An upgrade of the MLflow store had been interrupted ({error}). A new store was created; the old file is "
            f"{kept}"
        )


def check_no_programs(file: Path) -> None:
    """Check that a store, which may come from another user, executes no code when it is used.

    Raises:
        StoreError: The file has triggers, or views with the names of tables.
    """
    if _is_absent(file):
        return
    with _looked_at(file) as connection:
        if names := schema.programs(connection):
            what = f"the store has triggers or views, which MLflow does not create: {', '.join(names[:3])}"
            raise StoreError(what, str(file), f"Move it away: {move_away(file)}")


def _refuse_other_programs(file: Path, known: list[str]) -> None:
    """Check that a file is a store of MLflow before writing to it.

    Raises:
        StoreError: It belongs to another program, or to a newer MLflow.
    """
    with file.open("rb") as opened:
        head = opened.read(len(_HEAD))
    # SQLite reads a short text file as an empty database.
    if head.strip(b"\0") and head != _HEAD and not journals(file):
        problem = sqlite_problem("file is not a database", str(file), file)
        assert problem is not None
        raise problem
    with _looked_at(file) as connection:
        found = schema.revisions(connection)
        if found and set(found) <= set(known):
            return
        if found and "experiments" in schema.tables(connection):
            what = f"the store was created by a newer MLflow (schema {', '.join(found)})"
            raise StoreError(what, str(file), "Install it: pip install --upgrade mlflow")
        is_foreign = bool(found) or schema.is_of_another_program(connection)
    if is_foreign:
        raise another_programs(file)


def another_programs(file: Path) -> StoreError:
    """Return the error for a file that is not a store of MLflow."""
    hint = f"Move it away, or give another file in MLFLOW_TRACKING_URI: {move_away(file)}"
    return StoreError("the file is another program's database", str(file), hint)


def _put_in_place(file: Path, make: Callable[[Path], None], keep: str = "") -> Path | None:
    """Replace a file atomically by one that `make` writes, and return the name under which the old one is kept.

    Journals are moved or deleted first, since SQLite would apply them to the new file.

    Args:
        file: path of the file.
        make: writes a new file to a path.
        keep: suffix under which to keep the old file; empty to discard it.
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
