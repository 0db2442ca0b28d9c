"""`dlcli runs gc`: removal of files that can be recreated, and of old entries of the trash."""

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
from dlcli.formatting import counted
from dlcli.runs.deletion import Affected, list_trash, purge
from dlcli.runs.disk_usage import size_of, temporary_files
from dlcli.runs.inventory import ListedRun, list_runs, time_of
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries, is_held
from dlcli.tracking.places import FEATURES_DIR
from dlcli.tracking.reconcile import settle_ledgers
from dlcli.training.feature_store import unused_store

What = Literal["trash", "checkpoints", "features", "temporary"]
WHAT: tuple[What, ...] = get_args(What)


@dataclass(frozen=True)
class Garbage:
    """A file, folder or run that can be removed.

    Attributes:
        what: its kind.
        name: the run, or the name of the folder or file.
        path: its path.
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
    """All that can be removed from a runs folder, and notes for the user."""

    runs_dir: Path
    found: tuple[Garbage, ...]
    notes: tuple[str, ...]

    def of(self, what: What) -> list[Garbage]:
        """Return the garbage of one kind."""
        return [one for one in self.found if one.what == what]


def find_garbage(runs_dir: Path, now: datetime, older_than: float, only: Collection[str] = WHAT) -> Garbages:
    """Find what can be removed, without changing anything.

    Args:
        runs_dir: the runs folder.
        now: current time, for ages.
        older_than: minimum age in seconds: since deletion for runs in the trash, since the end of the run for
            checkpoints, since the last use for features.
        only: kinds to look for.
    """
    runs_dir = runs_dir.resolve()
    if unknown := [kind for kind in only if kind not in WHAT]:
        raise InputError("is nothing that can be removed", unknown[0], f"There are {', '.join(WHAT)}.")
    notes = settle_ledgers(runs_dir)
    found: list[Garbage] = []
    if "trash" in only:
        there = list_trash(runs_dir, now)
        if older_than > 0 and (undated := sum(_seconds_since(at, now) is None for _, at in there)):
            kept = f"{counted(undated, 'run')} in the trash {'is' if undated == 1 else 'are'} kept, since the time of"
            notes.append(f"{kept} deletion is unknown: --older-than 0s removes all of the trash.")
        for run, at in there:
            if (_seconds_since(at, now) or 0.0) >= older_than:
                found.append(Garbage("trash", run.name, run.folder.parent, run.size, run))
    if "checkpoints" in only:
        for run in list_runs(runs_dir, now):
            found += _checkpoints(run, now, older_than)
    if "features" in only:
        stores = sorted(_features(runs_dir, now, older_than), key=lambda one: one.path)
        if stores and _is_at_work(runs_dir):
            notes.append("Cached features are kept while a run is at work.")
            stores = []
        found += stores
    if "temporary" in only:
        for place in temporary_files(runs_dir):
            found.append(Garbage("temporary", place.name, place, size_of(place)))
    return Garbages(runs_dir, tuple(found), tuple(notes))


def remove(garbage: Garbages) -> int:
    """Remove garbage, except what is in use by now, and return the freed bytes.

    Raises:
        InputError: The operating system refuses.
    """
    freed = 0
    for one in garbage.of("temporary"):  # on a full disk, entries whose removal needs no space come first
        remove_abandoned(one.path.parent)
        freed += one.size
    for one in garbage.of("checkpoints"):
        freed += one.size if _remove_checkpoints(one.path) else 0
    for one in garbage.of("features"):
        with write_errors(one.path), unused_store(one.path) as free:
            if free and not _is_at_work(garbage.runs_dir):
                shutil.rmtree(one.path)
                freed += one.size
    trashed = tuple(one.run for one in garbage.of("trash") if one.run is not None)
    if trashed:
        purge(Affected(garbage.runs_dir, trashed, {}))
        freed += sum(run.size for run in trashed)
    return freed


def _checkpoints(run: ListedRun, now: datetime, older_than: float) -> Iterator[Garbage]:
    """Yield the checkpoints of a run; those of child runs only if the whole run is finished."""
    if run.status != "FINISHED":
        return
    for part in run.all():
        folder = part.folder / "checkpoints"
        if part.status == "FINISHED" and folder.is_dir() and not folder.is_symlink():
            ended = Ledger.load(part.folder).ended_at
            if (_seconds_since(ended, now) or 0.0) >= older_than:
                yield Garbage("checkpoints", part.name, folder, size_of(folder))


def _remove_checkpoints(folder: Path) -> bool:
    """Remove a run's checkpoints unless a process records the run. A kill leaves all of them, or a temporary folder."""
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
            with suppress(OSError), unused_store(store) as free:
                used = max(file.stat().st_mtime for file in [store, *store.iterdir()])
                if free and now.timestamp() - used >= older_than:
                    yield Garbage("features", store.name, store, size_of(store))


def _is_at_work(runs_dir: Path) -> bool:
    """Return whether a process works on any run of a runs folder, since it may be about to use cached features."""
    return any(is_held(path) for path in entries(runs_dir))


def _seconds_since(at: str | None, now: datetime) -> float | None:
    """Return the age of a ledger's time in seconds, 0 if it is in the future; None if it is unknown or invalid."""
    with suppress(ValueError):
        then = time_of(at)
        if then is not None:
            return max(0.0, (now - then.astimezone(UTC)).total_seconds())
    return None
