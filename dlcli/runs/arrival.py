"""Add runs from an archive or another folder to a runs folder: all are checked first; on an error, none is added.

Their folders are untrusted. Their files are compared with the digests in the ledgers, and commands that open the runs
later do so through the gate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.next_command import next_command
from dlcli.errors import CorruptRun, InputError
from dlcli.files.disk import write_errors
from dlcli.files.paths import display, resolved
from dlcli.files.unfinished import unfinished
from dlcli.runs.ensemble_members import members_in
from dlcli.tracking.by_name import refresh_links
from dlcli.tracking.digests import MODEL_MANIFEST, check_code, check_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.lifecycle import clients_of, tell_mlflow
from dlcli.tracking.manifest import Manifest, check_model
from dlcli.tracking.places import BY_NAME, folder_name, is_run_id
from dlcli.tracking.trash import Member, begin, locked_trash

_COPY = "Make the archive again, or copy the folder again."


@dataclass(frozen=True)
class Arrived:
    """The runs that were added, and those that already existed.

    Attributes:
        runs_dir: the runs folder.
        new: ledgers of the added runs.
        known: ledgers of runs that already existed, with the same record.
        notes: lines for the user.
    """

    runs_dir: Path
    new: tuple[Ledger, ...]
    known: tuple[Ledger, ...]
    notes: tuple[str, ...]


def arrive(runs_dir: Path, unpack: Callable[[Path], None]) -> Arrived:
    """Add runs to a runs folder, which is created if necessary.

    Args:
        runs_dir: the runs folder.
        unpack: writes the runs into an empty folder, as EXPERIMENT/RUN_ID/artifacts.

    Raises:
        CorruptRun: A run is damaged.
        InputError: A run has not ended, or the runs folder has another record of it.
    """
    runs_dir = resolved(runs_dir)
    with write_errors(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
    with locked_trash(runs_dir) as trash, unfinished(trash / "arriving", folder=True) as place:
        unpack(place)
        ledgers = [_checked(folder) for folder in _folders(place)]
        if not ledgers:
            raise InputError("contains no run", display(runs_dir), _COPY)
        known = [here for ledger in ledgers if (here := _known(runs_dir, trash, ledger)) is not None]
        ids = {ledger.run_id for ledger in known}
        new = [ledger for ledger in ledgers if ledger.run_id not in ids]
        for ledger in new:
            _settle_in(ledger)
        notes: list[str] = []
        if new:
            members = [Member(ledger.run_dir.parents[1].name, ledger.run_id) for ledger in new]
            intent = begin(runs_dir, "arrive", members, place)
            refresh_links(runs_dir)
            notes = [
                f"MLflow was not updated: {problem}. The next command that reaches the store updates it."
                for problem in tell_mlflow(runs_dir, intent, clients_of(runs_dir))
            ]
        there = [
            Ledger.load(runs_dir / member.place / member.run_id / "artifacts")
            for member in (members if new else ())
        ]
    if any(ledger.digests is None for ledger in there):
        notes.append("Some runs were recorded without digests: changes to their files cannot be detected.")
    notes += [text for ledger in there for text in _missing_members(ledger)]
    return Arrived(runs_dir, tuple(there), tuple(known), tuple(notes))


def _missing_members(ensemble: Ledger) -> list[str]:
    """Return a note if members of an ensemble are not in its runs folder."""
    missing = [
        one
        for one in members_in(ensemble)
        if not any(ensemble.runs_dir.glob(f"[!.]*/{one.run_id}/artifacts"))
    ]
    if not missing:
        return []
    line = f"dlcli runs export {ensemble.run_id[:8]} ensemble.zip"
    names = ", ".join(one.run_name for one in missing)
    return [
        f"The ensemble {ensemble.run_name} cannot predict: its members {names} are missing. Where it was selected, "
        f"{line} includes them."
    ]


def check_files(ledger: Ledger) -> None:
    """Compare all files of a run that have digests with their digests.

    Raises:
        CorruptRun: A file differs, is missing, or was not recorded with the run.
    """
    check_recorded(ledger, *(ledger.digests or ()), hint=_COPY)
    check_code(ledger)
    model, checkpoints = ledger.run_dir / "model", ledger.run_dir / "checkpoints"
    if (manifest := Manifest.load(model)) is not None and MODEL_MANIFEST in (ledger.digests or ()):
        check_model(model, *(name for name in manifest.accepted if (model / name).exists()))
    if (manifest := Manifest.load(checkpoints)) is not None:
        manifest.check(*(name for name in manifest.accepted if (checkpoints / name).exists()), hint=_COPY)


def _folders(place: Path) -> Sequence[Path]:
    """Return the folders of the runs, each before its child runs."""
    found = {folder: Ledger.load(folder) for folder in sorted(place.glob("*/*/artifacts"))}
    return sorted(found, key=lambda folder: (found[folder].parent_id is not None, found[folder].created_at))


def _checked(folder: Path) -> Ledger:
    """Return the ledger of a run that has been unpacked, after all checks."""
    ledger = Ledger.load(folder)
    where = str(folder)
    if not ledger.is_in_place or not is_run_id(ledger.run_id):
        raise CorruptRun("the folder is not that of its run", where, _COPY)
    if folder.parents[1].name != folder_name(ledger.experiment):
        raise CorruptRun(f"the folder is not that of the experiment {ledger.experiment}", where, _COPY)
    if ledger.unfinished:
        raise InputError(f"the run is {ledger.status}", ledger.run_name, "Wait until it has ended.")
    check_files(ledger)
    return ledger


def _known(runs_dir: Path, trash: Path, ledger: Ledger) -> Ledger | None:
    """Return the existing ledger of the same run, or None; raises InputError if its record is another one."""
    place = Path(ledger.run_dir.parents[1].name, ledger.run_id)
    if any(trash.glob(f"[!.]*/{ledger.run_id}")):
        hint = f"Bring it back: {next_command('runs', 'restore', ledger.run_id[:8], runs_dir=runs_dir)}"
        raise InputError("the run is in the trash", ledger.run_name, hint)
    if not os.path.lexists(runs_dir / place):
        for other in runs_dir.glob(f"[!.]*/{ledger.run_id}"):
            if other.parent.name != BY_NAME:
                hint = "Delete the one that is there, or use another runs folder: --runs-dir DIR"
                raise InputError("there is a run of this ID in another experiment", display(other), hint)
        return None
    here = Ledger.load(runs_dir / place / "artifacts")
    if _record(here) != _record(ledger):
        hint = "Delete the one that is there, or use another runs folder: --runs-dir DIR"
        raise InputError("there is another record of this run", display(here.run_dir), hint)
    return here


def _record(ledger: Ledger) -> tuple[object, ...]:
    """Return the content that identifies a run's record; its name, its note and its location may differ."""
    metrics = {name: repr(value) for name, value in ledger.metrics.items()}
    return (ledger.run_id, ledger.token, ledger.created_at, ledger.ended_at, ledger.status, metrics)


def _settle_in(ledger: Ledger) -> None:
    """Record a run in the store of its new runs folder, never in the store that its ledger names."""
    history = ledger.run_dir / "metrics.jsonl"
    offset = history.stat().st_size if history.is_file() else 0
    projected = {"offset": offset, "tags": ledger.tags, "status": ledger.status, "name": ledger.run_name}
    ledger.update(tracking_uri=None, artifact_uri=None, projected=projected)
