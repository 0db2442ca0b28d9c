"""List the runs of a runs folder from their ledgers, without loading MLflow or torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dlcli.errors import CorruptRun
from dlcli.runs.main_figure import MainFigure, main_figure
from dlcli.runs.registered_versions import RegisteredVersion, versions_by_run
from dlcli.tracking.by_name import Named
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.liveness import ACTIVE_DIR, entries, is_held, read_entry

# The status of a run whose ledger cannot be read.
DAMAGED = "DAMAGED"

# Maximum levels of nesting: a cross-validation, its folds, their sweeps, their trials, and the folds of these.
_LEVELS = 5


@dataclass(frozen=True)
class ListedRun:
    """A run in the list of all runs.

    Attributes:
        folder: the run's folder (`.../artifacts`).
        run_id: its ID.
        name: its name; of a damaged run, the ID.
        kind: its kind; empty if it is damaged.
        experiment: its experiment; of a damaged run, the name of the folder.
        status: FINISHED, FAILED, KILLED, RUNNING, SCHEDULED, or DAMAGED if its ledger cannot be read.
        size: bytes on disk, with those of its child runs.
        created_at: when it was created; None if it is damaged.
        duration: seconds that it took, with those before it was resumed, or until now; None if it has not started.
        figure: its main figure; None if it has none yet.
        metrics: all metrics in the ledger.
        recorded: names of the metrics that are results, neither baselines nor values of single epochs.
        tags: its tags.
        error: why it failed, or why its ledger cannot be read.
        parent_id: ID of its parent.
        children: its child runs (folds, trials, a refitted winner), the oldest first.
        registered: the versions of registered models that come from it, if the store is a SQLite file.
    """

    folder: Path
    run_id: str
    name: str
    kind: str
    experiment: str
    status: str
    size: int
    created_at: datetime | None = None
    duration: float | None = None
    figure: MainFigure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    parent_id: str | None = None
    children: tuple[ListedRun, ...] = ()
    registered: tuple[RegisteredVersion, ...] = ()

    def all(self) -> Iterator[ListedRun]:
        """Yield the run and all of its descendants, each followed by its child runs."""
        yield self
        for child in self.children:
            yield from child.all()


def list_runs(runs_dir: Path, now: datetime) -> list[ListedRun]:
    """Return the runs of a runs folder, the newest first, each with its child runs.

    A run whose parent is missing is listed by itself.

    Args:
        runs_dir: the runs folder; it need not exist.
        now: current time, for durations of runs that have not ended.
    """
    versions = versions_by_run(runs_dir)
    found = {
        (folder.parents[1], folder.parent.name): replace(
            _listed(folder, now), registered=tuple(versions.get(folder.parent.name, ()))
        )
        for folder in run_folders(runs_dir)
    }
    by_parent: dict[tuple[Path, str], list[tuple[Path, str]]] = {}
    for key, run in found.items():
        if run.parent_id is not None and (above := (key[0], run.parent_id)) in found:
            by_parent.setdefault(above, []).append(key)
    below = {key for keys in by_parent.values() for key in keys}
    done: set[tuple[Path, str]] = set()

    def whole(key: tuple[Path, str], level: int = 0) -> ListedRun:
        done.add(key)
        keys = [child for child in by_parent.get(key, ()) if child not in done] if level < _LEVELS else []
        children = sorted((whole(child, level + 1) for child in keys), key=_created)
        size = found[key].size + sum(child.size for child in children)
        return replace(found[key], children=tuple(children), size=size)

    tops = [whole(key) for key in found if key not in below]
    tops += [
        whole(key) for key in found if key not in done
    ]  # a folder from elsewhere may name itself as its parent
    return sorted(tops, key=_created, reverse=True)


def named_runs(tree: Iterable[ListedRun]) -> Iterator[Named]:
    """Yield the whole runs of a list that get a link by their name."""
    for run in tree:
        is_in_place = run.folder.parent.name == run.run_id and not run.folder.parents[1].is_symlink()
        if run.parent_id is None and run.created_at is not None and is_in_place:
            yield Named(run.name, run.run_id, run.created_at.isoformat(), run.experiment)


def run_folders(runs_dir: Path) -> Iterator[Path]:
    """Yield the folders in a runs folder that have a ledger, in the order of their names."""
    for experiment in _folders(runs_dir):
        for run in _folders(experiment):
            folder = run / "artifacts"
            if os.path.lexists(folder / LEDGER_FILE):
                yield folder


def unlisted_folders(runs_dir: Path) -> list[Path]:
    """Return the folders of runs that have no ledger, except those of runs that are being created."""
    folders = [run / "artifacts" for experiment in _folders(runs_dir) for run in _folders(experiment)]
    found = [f for f in folders if f.is_dir() and not os.path.lexists(f / LEDGER_FILE)]
    known = {read_entry(path).get("run_id") for path in entries(runs_dir)} if found else set()
    return [folder for folder in found if folder.parent.name not in known]


def size_on_disk(folder: Path, *, of_contents: bool = False) -> int:
    """Return the disk usage of a folder in bytes, or the total size of its files.

    Links are not followed, and unreadable files are left out.
    """
    total, pending = 0, [os.fspath(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    about, is_dir = entry.stat(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
                    if is_dir:
                        pending.append(entry.path)
                    if not of_contents:
                        total += about.st_blocks * 512
                    elif not is_dir:
                        total += about.st_size
    return total


def _folders(folder: Path) -> Sequence[Path]:
    """Return the folders within a folder, except hidden ones, which hold no runs."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return ()
    return [folder / name for name in sorted(names)]


def _listed(folder: Path, now: datetime) -> ListedRun:
    size = size_on_disk(folder.parent)
    try:
        ledger, status = with_true_status(Ledger.load(folder))
    except CorruptRun as damage:
        reason = damage.problems[0].message
        run_id = folder.parent.name
        return ListedRun(folder, run_id, run_id, "", folder.parents[1].name, DAMAGED, size, error=reason)
    return ListedRun(
        folder,
        ledger.run_id,
        ledger.run_name,
        ledger.kind,
        ledger.experiment,
        status,
        size,
        time_of(ledger.created_at),
        duration_of(ledger, status, now),
        main_figure(ledger),
        ledger.metrics,
        tuple(ledger.result.get("metrics", ())),
        ledger.tags,
        ledger.error,
        ledger.parent_id,
    )


def with_true_status(ledger: Ledger) -> tuple[Ledger, str]:
    """Return a run's ledger and status; a run that has not ended, but whose process has, counts as killed.

    The ledger is read again if the process has ended, since the run may have ended after the ledger was read.
    """
    if not ledger.unfinished or _is_worked_on(ledger):
        return ledger, ledger.status
    again = Ledger.load(ledger.run_dir)
    return again, "KILLED" if again.unfinished else again.status


def _is_worked_on(ledger: Ledger, level: int = 0) -> bool:
    """Return whether a process works on a run, or on its parent and may start it later."""
    if is_held(ledger.runs_dir / ACTIVE_DIR / ledger.token):
        return True
    if ledger.status != "SCHEDULED" or ledger.parent_id is None or level == _LEVELS:
        return False
    with suppress(CorruptRun):
        parent = Ledger.load(ledger.sibling(ledger.parent_id))
        return is_held(parent.runs_dir / ACTIVE_DIR / parent.token) or (
            parent.status == "SCHEDULED" and _is_worked_on(parent, level + 1)
        )
    return False


def duration_of(ledger: Ledger, status: str, now: datetime) -> float | None:
    """Return the seconds that a run took, or has taken until now, with those before it was resumed; None if unknown."""
    started, ended = time_of(ledger.started_at), time_of(ledger.ended_at)
    until = now if status == "RUNNING" else ended
    if started is None or until is None:
        return None
    return ledger.earlier_s + max(0.0, (until - started).total_seconds())


def time_of(text: str | None) -> datetime | None:
    """Return the time in a ledger's text; a time without a zone, written by another program, is taken as UTC."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _created(run: ListedRun) -> datetime:
    return run.created_at or datetime.min.replace(tzinfo=UTC)
