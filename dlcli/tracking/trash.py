"""The trash of a runs folder, and the journal of moves into it, out of it, and of final deletions.

A deleted run is in RUNS_DIR/.trash/EXPERIMENT/RUN_ID/artifacts, one level deeper than other runs, so that it is not
listed. Runs are moved together with their child runs. Before the first move, an intent that names all of them is
written; after a kill, the next command that reads the runs folder completes it. It is kept until MLflow is updated.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from dlcli.errors import DlcliError, InputError
from dlcli.files.disk import write_errors
from dlcli.files.regular import read_regular
from dlcli.files.unfinished import remove_abandoned
from dlcli.gate.seal import is_ours, keyed_digest
from dlcli.tracking.ledger import atomic_write, now
from dlcli.tracking.locks import try_flock, wait_for_lock

TRASH = ".trash"
DELETED_FILE = "deleted.json"  # beside the `artifacts` of a run in the trash

Action = Literal["delete", "restore", "purge", "arrive"]

_INTENTS = ".intents"
_ARRIVING = ".arriving-"  # prefix, followed by a token: folder of runs that are added together
_LOCK = ".lock"
_PATIENCE = 600.0  # seconds to wait for another command that moves many runs
_MAX_BYTES = 1 << 26  # maximum size of an intent; a sweep may have 100,000 trials


@dataclass(frozen=True)
class Member:
    """A run that an intent moves.

    Attributes:
        place: name of the experiment's folder.
        run_id: name of the run's folder.
        tracking_uri: its store; None for that of the runs folder.
        in_mlflow: whether to apply the intent to MLflow's run of this ID; not for a copy of another folder.
    """

    place: str
    run_id: str
    tracking_uri: str | None = None
    in_mlflow: bool = True


@dataclass(frozen=True)
class Intent:
    """A pending change to runs, as recorded in the journal.

    Attributes:
        action: delete (into the trash), restore, purge (delete for good), or arrive (from elsewhere).
        members: the runs, each parent before its child runs.
        at: time of the user's command.
        moved: whether the folders have been moved, so that only MLflow has to be updated.
        signed: whether it was written by this user; others must not change runs on a server.
        path: its file.
    """

    action: Action
    members: tuple[Member, ...]
    at: str
    moved: bool = False
    signed: bool = False
    path: Path | None = None

    @property
    def brings_back(self) -> bool:
        """Whether the runs are in the runs folder after the change."""
        return self.action in ("restore", "arrive")


@contextmanager
def locked_trash(runs_dir: Path) -> Iterator[Path]:
    """Hold the trash's lock, and yield the trash's folder, which is created if necessary.

    Raises:
        InputError: The trash cannot be written, or is a link.
        StoreError: Another process does not release the lock.
    """
    trash = _trash(runs_dir)
    with write_errors(trash):
        trash.mkdir(exist_ok=True)
        (trash / _INTENTS).mkdir(exist_ok=True)
        descriptor = os.open(trash / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        lock = partial(try_flock, descriptor, fcntl.LOCK_EX)
        wait_for_lock(lock, trash / _LOCK, _PATIENCE, "the trash of the runs folder")
        remove_abandoned(trash)
        for intent in intents(runs_dir):  # complete the intents of killed commands before any other move
            if not intent.moved:
                with suppress(DlcliError, OSError):
                    move(runs_dir, intent)
        known = {f"{_ARRIVING}{intent.path.stem}" for intent in intents(runs_dir) if intent.path}
        # Left by a command that was killed before it wrote an intent.
        for folder in trash.glob(f"{_ARRIVING}*"):
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        yield trash
    finally:
        os.close(descriptor)


def begin(runs_dir: Path, action: Action, members: Sequence[Member], arrived: Path | None = None) -> Intent:
    """Write an intent and move the folders. The caller holds the lock, and ends the intent when MLflow is updated.

    `arrived` is the folder within the trash that contains runs to add, as EXPERIMENT/RUN_ID.

    Raises:
        InputError: The folders cannot be moved, and are at their old places. If some could not be moved back, or have
            been partly deleted, the next command completes the intent.
    """
    token = secrets.token_hex(8)
    path = _trash(runs_dir) / _INTENTS / f"{token}.json"
    if arrived is not None:
        arrived.rename(_trash(runs_dir) / f"{_ARRIVING}{token}")
    intent = Intent(action, tuple(members), now(), signed=True, path=path)
    _write(intent)
    moves: list[tuple[Path, Path]] = []
    try:
        done = move(runs_dir, intent, moves)
    except DlcliError as error:
        if action != "purge" and _moved_back(moves):
            for member in members if action == "delete" else ():
                with suppress(OSError):
                    (runs_dir / member.place / member.run_id / DELETED_FILE).unlink(missing_ok=True)
            end(intent)
            raise
        problem = error.problems[0]
        what = f"{problem.message}; the next command on the runs folder moves the rest"
        raise InputError(what, problem.where, problem.hint) from error
    _supersede(runs_dir, intent)
    return done


def move(runs_dir: Path, intent: Intent, moves: list[tuple[Path, Path]] | None = None) -> Intent:
    """Move the remaining folders of an intent, and record that they have been moved.

    The old and the new path of each moved folder are added to `moves`.
    """
    for member in intent.members:
        with write_errors(_trash(runs_dir), "the trash", "change its permissions, or those of the runs"):
            _move_one(runs_dir, intent, member, [] if moves is None else moves)
    if intent.brings_back:
        for member in intent.members:
            folder = runs_dir / member.place / member.run_id
            if folder.is_dir() and not folder.is_symlink():
                with suppress(OSError):
                    (folder / DELETED_FILE).unlink(missing_ok=True)
    if intent.action == "arrive":
        shutil.rmtree(_source(runs_dir, intent), ignore_errors=True)
    done = replace(intent, moved=True)
    _write(done)
    return done


def _moved_back(moves: Sequence[tuple[Path, Path]]) -> bool:
    """Move folders back; return whether all of them are at their old places."""
    for old, new in reversed(moves):
        try:
            old.parent.mkdir(exist_ok=True)
            new.rename(old)
        except OSError:
            return False
    return True


def end(intent: Intent, waiting: Sequence[Member] = ()) -> None:
    """Remove an intent, or keep it for the runs that still have to be updated in MLflow. The caller holds the lock."""
    if intent.path is None or (waiting and tuple(waiting) == intent.members):
        return
    if waiting and os.path.lexists(intent.path):
        _write(replace(intent, members=tuple(waiting)))
    else:
        intent.path.unlink(missing_ok=True)


def is_carried_out(runs_dir: Path, intent: Intent, member: Member) -> bool:
    """Return whether a run's folder is in the state that an intent demands, so that MLflow can be updated."""
    return os.path.lexists(runs_dir / member.place / member.run_id) == intent.brings_back


def intents(runs_dir: Path) -> list[Intent]:
    """Return the pending intents, the oldest first; unreadable ones are ignored."""
    try:
        folder = _trash(runs_dir) / _INTENTS
        files = [] if folder.is_symlink() else sorted(folder.glob("*.json"))
    except (DlcliError, OSError):
        return []
    found = [intent for file in files if (intent := _read(file))]
    return sorted(found, key=lambda intent: intent.at)


def settle_folders(runs_dir: Path) -> list[Intent]:
    """Complete the moves of killed commands, and return the intents that still have to be applied to MLflow.

    Never fails: if the folder is not writable, the next command tries again.
    """
    with settled_folders(runs_dir) as found:
        return found


@contextmanager
def settled_folders(runs_dir: Path) -> Iterator[list[Intent]]:
    """Like `settle_folders`, as a context that holds the lock while the intents are used.

    Otherwise, another command could change the same runs in the meantime.
    """
    with ExitStack() as stack:
        found: list[Intent] = []
        with suppress(DlcliError, OSError):
            if intents(runs_dir):
                free = stack.enter_context(_unless_in_use(runs_dir))
                for intent in intents(runs_dir) if free else ():
                    with suppress(DlcliError):  # an intent that cannot be completed must not block the others
                        found.append(intent if intent.moved else move(runs_dir, intent))
        yield found


@contextmanager
def _unless_in_use(runs_dir: Path) -> Iterator[bool]:
    """Hold the lock if it is free; yield whether it is held."""
    descriptor = os.open(
        _trash(runs_dir) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
    )
    try:
        yield try_flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def deleted_at(folder: Path) -> str | None:
    """Return the time of deletion of a run in the trash; None if it is unknown."""
    with suppress(OSError, ValueError, AttributeError):
        at = json.loads(read_regular(folder.parent / DELETED_FILE, 1 << 12)).get("deleted_at")
        return at if isinstance(at, str) else None
    return None


def _trash(runs_dir: Path) -> Path:
    """Return the folder of the trash; raises InputError if it is a link, since folders would be moved elsewhere."""
    folder = runs_dir / TRASH
    if folder.is_symlink():
        raise InputError("is a link, but should be a folder", str(folder), "Remove the link.")
    return folder


def _source(runs_dir: Path, intent: Intent) -> Path:
    """Return the folder other than the runs folder that an intent moves from or to."""
    arriving = intent.action == "arrive" and intent.path is not None
    return (
        _trash(runs_dir) / f"{_ARRIVING}{intent.path.stem}" if arriving and intent.path else _trash(runs_dir)
    )


def _move_one(runs_dir: Path, intent: Intent, member: Member, moves: list[tuple[Path, Path]]) -> None:
    here = runs_dir / member.place / member.run_id
    there = _source(runs_dir, intent) / member.place / member.run_id
    # An intent may come from another user, with its runs folder.
    for folder in (
        here.parent,
        there.parent.parent,
        there.parent,
    ):
        if folder.is_symlink():
            raise InputError("is a link, but should be a folder", str(folder), "Remove the link.")
    if intent.action == "delete":
        if os.path.lexists(here) and not os.path.lexists(there):
            there.parent.mkdir(exist_ok=True)
            if here.is_dir() and not here.is_symlink():
                atomic_write(here / DELETED_FILE, json.dumps({"deleted_at": intent.at}) + "\n", durable=False)
            here.rename(there)
            moves.append((here, there))
        return
    if intent.brings_back:
        if os.path.lexists(there) and not os.path.lexists(here):
            here.parent.mkdir(exist_ok=True)
            there.rename(here)
            moves.append((there, here))
    elif there.is_symlink():
        there.unlink(missing_ok=True)
    elif there.is_dir():
        shutil.rmtree(there)
    with suppress(OSError):  # other runs of the experiment may be in the trash
        there.parent.rmdir()


def _supersede(runs_dir: Path, last: Intent) -> None:
    """Remove the runs of an intent from older intents, because the last command takes effect.

    Runs that are deleted for good have been deleted before, and MLflow may still have to be updated for that.
    """
    run_ids = {member.run_id for member in last.members}
    for intent in intents(runs_dir):
        if intent.path == last.path or (last.action, intent.action, intent.moved) == (
            "purge",
            "delete",
            True,
        ):
            continue
        kept = [member for member in intent.members if member.run_id not in run_ids]
        if len(kept) < len(intent.members):
            end(intent, kept)


def _write(intent: Intent) -> None:
    """Write an intent; an unsigned intent remains unsigned."""
    if intent.path is None:
        return
    members = [[x.place, x.run_id, x.tracking_uri, x.in_mlflow] for x in intent.members]
    document = {"action": intent.action, "at": intent.at, "moved": intent.moved, "runs": members}
    text = json.dumps(document)
    signature = keyed_digest(text) if intent.signed else None
    atomic_write(intent.path, json.dumps({"intent": text, "signature": signature}) + "\n")


def _read(file: Path) -> Intent | None:
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        outer: Mapping[str, Any] = json.loads(read_regular(file, _MAX_BYTES))
        document: Mapping[str, Any] = json.loads(outer["intent"])
        members = tuple(Member(*each) for each in document["runs"])
        sound = all(_is_sound(member) for member in members)
        if sound and document["action"] in get_args(Action):
            signed = is_ours(outer["intent"], outer.get("signature"))
            return Intent(
                document["action"], members, str(document["at"]), bool(document["moved"]), signed, file
            )
    return None


def _is_sound(member: Member) -> bool:
    """Return whether the names are plain folder names, since they are used in paths."""
    names = (member.place, member.run_id)
    return (member.tracking_uri is None or isinstance(member.tracking_uri, str)) and all(
        isinstance(name, str) and name and not name.startswith(".") and not {"/", "\0"} & set(name)
        for name in names
    )
