"""Delete runs into the trash, restore them, or delete them for good."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dlcli.config.next_command import next_command
from dlcli.errors import CorruptRun, DiskFull, DlcliError, InputError, Problem, RunNotFound, StoreError
from dlcli.files.paths import display, is_file
from dlcli.files.regular import read_regular
from dlcli.runs.chosen_runs import choose_whole
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.inventory import ListedRun, list_runs
from dlcli.tracking.by_name import refresh_links
from dlcli.tracking.connection import recall, sqlite_file
from dlcli.tracking.history import is_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.lifecycle import Clients, clients_of, registered_models, tell_mlflow
from dlcli.tracking.liveness import ACTIVE_DIR, is_held
from dlcli.tracking.mlflow_tags import WEIGHTS_RUN_TAG
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.trash import TRASH, Action, Member, begin, deleted_at, locked_trash

_SHORTEST_PREFIX = 4
_CONFIG_BYTES = 1 << 22

# The ID of a run in the path of one of its files.
_FILE_OF_A_RUN = re.compile(r"/([\w-]+)/artifacts/")


@dataclass(frozen=True)
class Affected:
    """Runs that a command deletes, restores or deletes for good.

    Attributes:
        runs_dir: their runs folder.
        runs: whole runs, each with its child runs.
        needed: ID of a whole run to the reasons why it should be kept.
        notes: lines for the user.
    """

    runs_dir: Path
    runs: tuple[ListedRun, ...]
    needed: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(run.size for run in self.runs)

    @property
    def count(self) -> int:
        """Number of runs, with their child runs."""
        return sum(1 for run in self.runs for _ in run.all())


def plan_deletion(
    refs: Sequence[str], only: str | None, runs_dir: Path, now: datetime, *, force: bool
) -> Affected:
    """Find the runs to delete and their dependents, without moving anything.

    Args:
        refs: references to runs.
        only: a filter for whole runs, in addition to the references.
        runs_dir: the runs folder in use.
        now: current time, for ages.
        force: whether to also delete runs on which others depend.

    Raises:
        RunNotFound: There is no such run.
        InputError: A run is a child run, is running, is needed by others, or is in another runs folder.
    """
    if not refs and only is None:
        raise InputError(
            "no run is named", "RUN", "Name runs, or choose them: --filter 'status=failed and age>7d'"
        )
    runs_dir = runs_dir.resolve()
    notes = reconcile(runs_dir)
    tree = list_runs(runs_dir, now)
    runs = choose_whole(refs, only, tree, runs_dir, now, notes, "rm", fetch=False)
    _check(runs, runs_dir)
    needed, unknown = _needs(runs, tree, runs_dir)
    if needed and not force:
        raise InputError(
            [
                Problem(
                    f"is needed: {'; '.join(reasons)}",
                    run.name,
                    "Delete the dependents first, or delete it nevertheless: --force",
                )
                for run in runs
                if (reasons := needed.get(run.run_id))
            ]
        )
    return Affected(runs_dir, runs, needed, (*notes, *unknown))


def delete(affected: Affected) -> list[str]:
    """Move runs into the trash, and delete them in MLflow; return a note for each store that is not updated yet."""
    with locked_trash(affected.runs_dir) as trash:
        for run in affected.runs:
            _check_idle(run)
            for part in run.all():
                _check_there(part)
                if (trash / part.folder.parents[1].name / part.folder.parent.name).exists():
                    back = next_command("runs", "restore", part.run_id, runs_dir=affected.runs_dir)
                    hint = f"Move this one's folder elsewhere, and bring the other one back: {back}"
                    raise InputError("another run of this ID is in the trash", part.run_id, hint)
        return _carry_out(affected, "delete")


def list_trash(runs_dir: Path, now: datetime) -> list[tuple[ListedRun, str | None]]:
    """Return the whole runs in the trash, the last deleted first, each with the time of its deletion."""
    found = [(run, deleted_at(run.folder)) for run in list_runs(runs_dir.resolve() / TRASH, now)]
    return sorted(found, key=lambda pair: pair[1] or "", reverse=True)


def plan_restoration(refs: Sequence[str], runs_dir: Path, now: datetime) -> Affected:
    """Find runs in the trash.

    Raises:
        RunNotFound: There is no such run in the trash, or there are several.
        InputError: A run of the same ID is in the runs folder.
    """
    runs_dir = runs_dir.resolve()
    notes = reconcile(runs_dir)
    there = [run for run, _ in list_trash(runs_dir, now)]
    chosen = {run.folder: run for ref in refs for run in [_in_trash(ref, there, runs_dir)]}
    for part in (part for run in chosen.values() for part in run.all()):
        _check_there(part)
        place = runs_dir / part.folder.parents[1].name / part.folder.parent.name
        if place.exists() or place.is_symlink():
            raise InputError("a run of this ID is in the runs folder", display(place), "Move it away first.")
    return Affected(runs_dir, tuple(chosen.values()), {}, tuple(notes))


def restore(affected: Affected) -> list[str]:
    """Move runs back from the trash, and restore them in MLflow; return a note for each store not updated yet."""
    with locked_trash(affected.runs_dir):
        return _carry_out(affected, "restore")


def purge(affected: Affected) -> None:
    """Delete runs in the trash for good."""
    with locked_trash(affected.runs_dir):
        try:
            _carry_out(affected, "purge")
        except DiskFull:
            _make_room(affected)
            _carry_out(affected, "purge")


def _make_room(affected: Affected) -> None:
    """Delete large files of runs that are about to be deleted for good, so that the journal fits on a full disk."""
    for part in (part for run in affected.runs for part in run.all()):
        if not any(place.is_symlink() for place in (part.folder, *part.folder.parents[:2])):
            for name in ("checkpoints", "plots"):
                shutil.rmtree(part.folder / name, ignore_errors=True)


def _carry_out(affected: Affected, action: Action) -> list[str]:
    members = [_member(part) for run in affected.runs for part in run.all()]
    intent = begin(affected.runs_dir, action, members)
    refresh_links(affected.runs_dir)
    return tell_mlflow(affected.runs_dir, intent, clients_of(affected.runs_dir))


def _member(run: ListedRun) -> Member:
    folder = run.folder.parent
    try:
        ledger = Ledger.load(run.folder)
    except CorruptRun:
        return Member(folder.parent.name, folder.name)
    return Member(folder.parent.name, folder.name, ledger.tracking_uri, ledger.is_in_place)


def _in_trash(ref: str, there: Sequence[ListedRun], runs_dir: Path) -> ListedRun:
    named = [run for run in there if ref in (run.run_id, run.name)]
    if not named and len(ref) >= _SHORTEST_PREFIX:
        named = [run for run in there if run.run_id.startswith(ref)]
    if len(named) > 1:
        shown = ", ".join(f"{run.run_id[:12]} ({run.name})" for run in named[:5])
        raise RunNotFound(f"{len(named)} runs in the trash match {ref}: {shown}", "RUN", "Give the ID.")
    if not named:
        for whole in there:
            if any(ref in (part.run_id, part.name) for part in whole.all()):
                line = next_command("runs", "restore", whole.run_id[:8], runs_dir=runs_dir)
                hint = f"Restore all of it: {line}"
                raise RunNotFound(f"{ref} is a child run of {whole.name}", "RUN", hint)
        hint = f"{next_command('runs', 'restore', runs_dir=runs_dir)} lists what is there."
        raise RunNotFound(f"there is no run {ref} in the trash", "", hint)
    return named[0]


def _check(runs: Sequence[ListedRun], runs_dir: Path) -> None:
    for run in runs:
        for part in run.all():
            if part.status in ("RUNNING", "SCHEDULED"):
                raise InputError(f"the run is {part.status}", part.name, "Delete it when it has ended.")
            place = part.folder.parents[1]
            if place.is_symlink():
                outside = not place.resolve().is_relative_to(runs_dir)
                what = "is a link that leads out of the runs folder" if outside else "is a link to a folder"
                raise InputError(what, display(place), "Delete the runs where they are.")


def _check_there(run: ListedRun) -> None:
    """Raise a RunNotFound if another command has moved a run since it was listed."""
    if not run.folder.exists():
        raise RunNotFound(f"another command has moved {run.name}", display(run.folder))


def _check_idle(run: ListedRun) -> None:
    """Raise an InputError if a process has started to record a run since it was listed."""
    for part in run.all():
        if is_recorded(part.folder) or _is_held(part.folder):
            raise InputError(
                "another process is recording the run", part.name, "Delete it when it has ended."
            )


def _is_held(folder: Path) -> bool:
    """Return whether a process has locked a run that it does not record yet, such as one that is resuming it."""
    with suppress(CorruptRun):
        ledger = Ledger.load(folder)
        return is_held(ledger.runs_dir / ACTIVE_DIR / ledger.token)
    return False


def _needs(
    runs: Sequence[ListedRun], tree: Sequence[ListedRun], runs_dir: Path
) -> tuple[dict[str, list[str]], list[str]]:
    """Return ID of a whole run to the reasons why it is needed, and notes on what could not be determined."""
    owner = {part.run_id: run.run_id for run in runs for part in run.all()}
    needed: dict[str, list[str]] = {}
    going = {run.folder for run in runs}
    for other in (run for run in tree if run.folder not in going):
        for run_id in {used for part in other.all() for used in _weights_of(part, owner)}:
            needed.setdefault(owner[run_id], []).append(f"{other.name} uses its weights (model.weights)")
        for run_id in _members_of(other, owner):
            needed.setdefault(owner[run_id], []).append(f"the ensemble {other.name} predicts with its models")
    unknown = []
    clients = clients_of(runs_dir)
    for uri in dict.fromkeys(_store_of(run) for run in runs):
        try:
            registered = _registered(uri, runs_dir, clients)
        except StoreError as error:
            problem = error.problems[0]
            unknown.append(
                f"Whether runs have registered models is unknown: {problem.message} ({problem.where})."
            )
            for run in runs:
                if _store_of(run) == uri:
                    needed.setdefault(run.run_id, []).append(
                        f"its registered models could not be looked up, since {problem.message}"
                    )
            continue
        for run_id, versions in registered.items():
            if run_id in owner:
                needed.setdefault(owner[run_id], []).extend(f"registered model {x}" for x in versions)
    return {run_id: list(dict.fromkeys(reasons)) for run_id, reasons in needed.items()}, unknown


def _members_of(run: ListedRun, owner: dict[str, str]) -> Iterator[str]:
    """Yield the IDs of the runs in `owner` that are members of an ensemble."""
    if run.kind in ("ensemble", "sweep"):
        with suppress(CorruptRun):
            yield from (one.run_id for one in members_in(Ledger.load(run.folder)) if one.run_id in owner)


def _registered(uri: str | None, runs_dir: Path, clients: Clients) -> dict[str, list[str]]:
    address = recall(uri, runs_dir)
    file = sqlite_file(address)
    if file is not None and not file.exists():  # it would be created
        return {}
    return registered_models(clients(uri), address)


def _store_of(run: ListedRun) -> str | None:
    try:
        return Ledger.load(run.folder).tracking_uri
    except DlcliError:
        return None


def _weights_of(run: ListedRun, owner: dict[str, str]) -> Iterator[str]:
    """Yield the IDs of the runs in `owner` whose weights a run starts from, by its tag or its configuration."""
    if (tagged := run.tags.get(WEIGHTS_RUN_TAG)) in owner:
        yield str(tagged)
    if run.parent_id is not None or not is_file(run.folder / "config.yaml"):
        return
    try:
        text = read_regular(run.folder / "config.yaml", _CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    yield from (run_id for run_id in _FILE_OF_A_RUN.findall(text) if run_id in owner)
