"""Select whole runs, with their child runs, by reference or by filter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dlcli.config.next_command import next_command
from dlcli.errors import InputError
from dlcli.files.paths import display
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.filters import select
from dlcli.runs.find import find_run
from dlcli.runs.inventory import ListedRun, list_runs
from dlcli.tracking.ledger import Ledger


def choose_whole(
    refs: Sequence[str],
    only: str | None,
    tree: Sequence[ListedRun],
    runs_dir: Path,
    now: datetime,
    notes: list[str],
    command: str,
    *,
    fetch: bool = True,
) -> tuple[ListedRun, ...]:
    """Return the whole runs that are referenced, and those that match a filter.

    Args:
        refs: references to runs.
        only: filter for whole runs; its matches are added to the references.
        tree: the runs of the runs folder.
        runs_dir: the runs folder in use, resolved.
        now: current time, for ages.
        notes: receives notes for the user.
        command: name of the calling command of `dlcli runs`, for messages.
        fetch: whether to download runs that are in the store only.

    Raises:
        RunNotFound: There is no such run.
        InputError: No run is selected, or one is a child run or in another runs folder.
    """
    if not refs and only is None:
        hint = "Name runs, or choose them: --filter 'status=failed and age>7d'"
        raise InputError("no run is named", "RUN", hint)
    chosen = {}
    for ref in refs:
        found = _folder(ref, tree, runs_dir, notes, fetch=fetch)
        if found.is_relative_to(runs_dir) and all(part.folder != found for run in tree for part in run.all()):
            tree = list_runs(runs_dir, now)  # with the one that was fetched
            _tell_parts(found, notes)
        run = _whole(found, tree, runs_dir, command)
        chosen[run.folder] = run
    if only is not None:
        chosen |= {run.folder: run for run in select(tree, only, now)}
    return tuple(chosen.values())


def with_members(
    chosen: Sequence[ListedRun], tree: Sequence[ListedRun], notes: list[str]
) -> tuple[ListedRun, ...]:
    """Return runs, and after them the whole runs whose models the ensembles among them predict with.

    Args:
        chosen: whole runs.
        tree: the runs of the runs folder.
        notes: receives a note for each run that is added, and for each member that is missing.
    """
    found = {run.folder: run for run in chosen}
    owners = {part.run_id: run for run in tree for part in run.all()}
    for run in chosen:
        if run.kind != "ensemble":
            continue
        for member in members_in(Ledger.load(run.folder)):
            owner = owners.get(member.run_id)
            if owner is None:
                notes.append(
                    f"The member {member.run_name} of the ensemble {run.name} is missing ({member.run_id[:8]}): "
                    "without it the ensemble cannot predict."
                )
            elif owner.folder not in found:
                found[owner.folder] = owner
                notes.append(
                    f"{owner.name} is included, because the ensemble {run.name} predicts with its models."
                )
    return tuple(found.values())


def _folder(ref: str, tree: Sequence[ListedRun], runs_dir: Path, notes: list[str], *, fetch: bool) -> Path:
    """Return the folder of the run that a user refers to, also of a damaged one."""
    for whole in tree:
        for run in whole.all():
            if ref in (run.run_id, str(run.folder.parent)):
                return run.folder
    found, note = find_run(ref, runs_dir, fetch=fetch)
    notes += [note] if note else []
    return found


def _tell_parts(folder: Path, notes: list[str]) -> None:
    kind = Ledger.load(folder).kind
    if parts := {"cv": "folds", "sweep": "trials"}.get(kind):
        notes.append(
            f"The {parts} of {folder.parent.name[:8]} are not on this machine, and are not included."
        )


def _whole(found: Path, tree: Sequence[ListedRun], runs_dir: Path, command: str) -> ListedRun:
    """Return the whole run in a folder."""
    for run in tree:
        for part in run.all():
            if part.folder == found and part is not run:
                line = next_command("runs", command, run.run_id[:8], runs_dir=runs_dir)
                kind = {"cv": "cross-validation"}.get(run.kind, run.kind)
                raise InputError(
                    f"is a child run of {run.name}, a {kind}", part.name, f"Take all of it: {line}"
                )
            if part.folder == found:
                return run
    raise InputError(f"is not in {display(runs_dir)}", str(found), "Name its runs folder: --runs-dir DIR")
