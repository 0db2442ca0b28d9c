"""Whole runs that a user names or chooses by a filter, for commands that take them with their parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dlcli.config.next_command import next_command
from dlcli.errors import InputError
from dlcli.files.paths import display
from dlcli.runs.find import find_run
from dlcli.runs.inventory import ListedRun
from dlcli.runs.selection import select


def choose_whole(
    refs: Sequence[str],
    only: str | None,
    tree: Sequence[ListedRun],
    runs_dir: Path,
    now: datetime,
    notes: list[str],
    command: str,
) -> tuple[ListedRun, ...]:
    """Return the whole runs that are named, and those to which a filter applies.

    Args:
        refs: references to runs.
        only: a filter for whole runs, in addition to the references.
        tree: the runs of the runs folder.
        runs_dir: the runs folder in use, resolved.
        now: the time from which ages are counted.
        notes: receives lines for the user.
        command: the command of `dlcli runs` that asks, for messages.

    Raises:
        RunNotFound: There is no such run.
        InputError: No run is named, a run is a part of another one, or it lies in another runs folder.
    """
    if not refs and only is None:
        hint = "Name runs, or choose them: --filter 'status=failed and age>7d'"
        raise InputError("no run is named", "RUN", hint)
    chosen = {run.folder: run for ref in refs for run in [_whole(ref, tree, runs_dir, notes, command)]}
    if only is not None:
        chosen |= {run.folder: run for run in select(tree, only, now)}
    return tuple(chosen.values())


def _whole(ref: str, tree: Sequence[ListedRun], runs_dir: Path, notes: list[str], command: str) -> ListedRun:
    by_folder = (run for whole in tree for run in whole.all() if ref in (run.run_id, str(run.folder.parent)))
    found = next((run.folder for run in by_folder), None)  # a damaged run, too
    if found is None:
        found, note = find_run(ref, runs_dir)
        notes += [note] if note else []
    for run in tree:
        for part in run.all():
            if part.folder == found and part is not run:
                line = next_command("runs", command, run.run_id[:8], runs_dir=runs_dir)
                kind = {"cv": "cross-validation"}.get(run.kind, run.kind)
                raise InputError(f"is a part of {run.name}, a {kind}", part.name, f"Take all of it: {line}")
            if part.folder == found:
                return run
    raise InputError(f"is not in {display(runs_dir)}", str(found), "Name its runs folder: --runs-dir DIR")
