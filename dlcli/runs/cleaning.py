"""`dlcli runs gc`: removal of what can be made again, or was deleted long enough ago."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from dlcli.errors import InputError
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import remove_abandoned, temporary_name
from dlcli.runs.deletion import Affected, list_trash, purge
from dlcli.runs.disk_usage import size_of, temporary_files
from dlcli.runs.inventory import ListedRun, list_runs, time_of
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries, is_held
from dlcli.tracking.places import FEATURES_DIR
from dlcli.tracking.reconcile import settle_ledgers

What = Literal["trash", "checkpoints", "features", "temporary"]
WHAT: tuple[What, ...] = get_args(What)


@dataclass(frozen=True)
class Garbage:
    """Something that can be removed.

    Attributes:
        what: its kind.
        name: the run, or the name of the folder or file.
        path: where it is.
        size: bytes on disk.
        run: the run in the trash.
    """

    what: What
    name: str
    path: Path
    size: int
    run: ListedRun | None = None


@dataclass(frozen=True)
class Garbages:
    """All that can be removed from a runs folder, and lines for the user."""

    runs_dir: Path
    found: tuple[Garbage, ...]
    notes: tuple[str, ...]

    def of(self, what: What) -> list[Garbage]:
        """Return those of one kind."""
        return [one for one in self.found if one.what == what]


def find_garbage(runs_dir: Path, now: datetime, older_than: float, only: Collection[str] = WHAT) -> Garbages:
    """Find what can be removed; nothing is changed.

    Args:
        runs_dir: the runs folder.
        now: the time from which ages are counted.
        older_than: seconds since a run in the trash was deleted, a run with checkpoints ended, features were used.
        only: kinds that are looked for.
    """
    runs_dir = runs_dir.resolve()
    if unknown := [kind for kind in only if kind not in WHAT]:
        raise InputError("is nothing that can be removed", unknown[0], f"There are {', '.join(WHAT)}.")
    notes = settle_ledgers(runs_dir)
    found: list[Garbage] = []
    if "trash" in only:
        for run, at in list_trash(runs_dir, now):
            if _seconds_since(at, now) >= older_than:
                found.append(Garbage("trash", run.name, run.folder.parent, run.size, run))
    if "checkpoints" in only:
        for run in list_runs(runs_dir, now):
            found += _checkpoints(run, now, older_than)
    if "features" in only:
        stores = sorted(_features(runs_dir, now, older_than), key=lambda one: one.path)
        if stores and any(is_held(path) for path in entries(runs_dir)):
            notes.append("Cached features are kept while a run is at work.")
            stores = []
        found += stores
    if "temporary" in only:
        for place in temporary_files(runs_dir):
            found.append(Garbage("temporary", place.name, place, size_of(place)))
    return Garbages(runs_dir, tuple(found), tuple(notes))


def remove(garbage: Garbages) -> int:
    """Remove what was found, and return the freed bytes; what has come into use meanwhile is kept.

    Raises:
        InputError: The operating system refuses.
    """
    freed = 0
    trashed = tuple(one.run for one in garbage.of("trash") if one.run is not None)
    if trashed:
        purge(Affected(garbage.runs_dir, trashed, {}))
        freed += sum(run.size for run in trashed)
    for one in garbage.of("checkpoints"):
        freed += one.size if _remove_checkpoints(one.path) else 0
    for one in garbage.of("features"):
        with write_errors(one.path):
            shutil.rmtree(one.path)
        freed += one.size
    for one in garbage.of("temporary"):
        remove_abandoned(one.path.parent)
        freed += one.size
    return freed


def _checkpoints(run: ListedRun, now: datetime, older_than: float) -> Iterator[Garbage]:
    """Yield the checkpoints of a finished run: those of a part only if the whole run is finished."""
    if run.status != "FINISHED":
        return
    for part in run.all():
        folder = part.folder / "checkpoints"
        if part.status == "FINISHED" and folder.is_dir() and not folder.is_symlink():
            ended = Ledger.load(part.folder).ended_at
            if _seconds_since(ended, now) >= older_than:
                yield Garbage("checkpoints", part.name, folder, size_of(folder))


def _remove_checkpoints(folder: Path) -> bool:
    """Remove checkpoints unless a process records the run; a kill leaves all of them or a temporary folder."""
    run_dir = folder.parent
    with suppress(InputError), closing(HistoryWriter(run_dir)):
        if Ledger.load(run_dir).status != "FINISHED":
            return False
        with write_errors(folder):
            folder.rename(folder.with_name(temporary_name(folder.name)))
            remove_abandoned(run_dir)
            return True
    return False


def _features(runs_dir: Path, now: datetime, older_than: float) -> Iterator[Garbage]:
    place = runs_dir / FEATURES_DIR
    if place.is_symlink() or not place.is_dir():
        return
    for store in place.iterdir():
        if store.is_dir() and not store.is_symlink():
            with suppress(OSError):
                used = max(file.stat().st_mtime for file in [store, *store.iterdir()])
                if now.timestamp() - used >= older_than:
                    yield Garbage("features", store.name, store, size_of(store))


def _seconds_since(at: str | None, now: datetime) -> float:
    """Return the age of a ledger's time; that of an unknown or invalid time is unlimited."""
    with suppress(ValueError):
        then = time_of(at)
        if then is not None:
            return (now - then.astimezone(UTC)).total_seconds()
    return float("inf")
