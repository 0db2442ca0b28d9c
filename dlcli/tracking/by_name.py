"""`RUNS_DIR/by-name/NAME`: links to the folders of whole runs by name, for users who browse the runs folder.

The link NAME leads to the newest run of that name, like `dlcli show NAME`; links to older ones have the beginning of
their ID as a suffix. Links are relative, so that the runs folder can be moved. dlcli does not depend on them, and there
are none on a file system without links.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dlcli.errors import CorruptRun
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.places import BY_NAME, folder_name

_LONGEST = 200  # maximum bytes of a name; file systems allow 255, and an ID may follow
_ID = 8  # characters of an ID that distinguish runs of the same name


@dataclass(frozen=True)
class Named:
    """A run that gets a link.

    Attributes:
        name: its name.
        run_id: its ID.
        created_at: when it was created, in ISO 8601.
        experiment: its experiment.
    """

    name: str
    run_id: str
    created_at: str
    experiment: str

    @property
    def place(self) -> Path:
        """Its folder, relative to that of the links."""
        return Path("..", folder_name(self.experiment), self.run_id, "artifacts")

    @classmethod
    def of(cls, ledger: Ledger) -> Named:
        """Return the run of a ledger."""
        return cls(ledger.run_name, ledger.run_id, ledger.created_at, ledger.experiment)


def link_run(ledger: Ledger) -> None:
    """Add the link of a new run; the previous run of that name gets a link with its ID. Never fails."""
    if ledger.parent_id is not None:
        return
    folder, name = ledger.runs_dir / BY_NAME, _file_name(ledger.run_name, ledger.run_id)
    with suppress(OSError):
        if folder.is_symlink():
            return
        folder.mkdir(exist_ok=True)
        _remove_unfinished(folder)
        before, place = _target(folder / name), Named.of(ledger).place
        if before is not None and before != place:
            _link(folder / f"{name}-{before.parts[-2][:_ID]}", before)
        _link(folder / name, place)


def refresh_links(runs_dir: Path) -> None:
    """Update the links to those of the existing runs, if they differ. Never fails."""
    present = existing_links(runs_dir)
    update_links(runs_dir, present, (Named.of(ledger) for ledger in _ledgers(runs_dir)))


def existing_links(runs_dir: Path) -> dict[str, Path]:
    """Return the names and targets of the links.

    Call it before the runs are read, so that `update_links` does not remove the link of a run that is created in the
    meantime.
    """
    return {path.name: at for path in (runs_dir / BY_NAME).glob("*") if (at := _target(path)) is not None}


def update_links(runs_dir: Path, present: Mapping[str, Path], runs: Iterable[Named]) -> None:
    """Update the present links to those of whole runs, if they differ. Never fails."""
    folder = runs_dir / BY_NAME
    with suppress(OSError):
        if folder.is_symlink():
            return
        _remove_unfinished(folder)
        wanted = _wanted(runs)
        if wanted == present:
            return
        folder.mkdir(exist_ok=True)
        for name in present.keys() - wanted.keys():
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        for name, place in wanted.items():
            if present.get(name) != place:
                _link(folder / name, place)


def followed(path: Path) -> Path:
    """Return the run's folder to which a link by name leads, if it is in the same runs folder; else the path."""
    if path.parent.name != BY_NAME or (place := _target(path)) is None:
        return path
    return path.parent.parent / Path(*place.parts[1:])


def _wanted(runs: Iterable[Named]) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for run in sorted(runs, key=lambda one: one.created_at, reverse=True):
        name = _file_name(run.name, run.run_id)
        found.setdefault(name if name not in found else f"{name}-{run.run_id[:_ID]}", run.place)
    return found


def _ledgers(runs_dir: Path) -> Iterable[Ledger]:
    for file in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"):
        with suppress(CorruptRun):
            ledger = Ledger.load(file.parent)
            if ledger.parent_id is None and ledger.is_in_place and not file.parents[2].is_symlink():
                yield ledger


def _target(link: Path) -> Path | None:
    """Return the target of a link that dlcli has made; None for anything else."""
    try:
        place = Path(os.readlink(link))  # noqa: PTH115 - it raises for other files
    except OSError:
        return None
    parts = place.parts
    inside = len(parts) == 4 and parts[0] == ".." and parts[3] == "artifacts" and ".." not in parts[1:]
    return place if inside else None


def _link(link: Path, place: Path) -> None:
    if os.path.lexists(link) and _target(link) is None:  # a file of the user
        return
    fresh = link.with_name(f".{secrets.token_hex(8)}")
    with suppress(OSError):  # a link that the file system refuses must not affect the others
        fresh.symlink_to(place)
        try:
            fresh.replace(link)
        except OSError:
            fresh.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove links with temporary names that killed commands have left."""
    for path in folder.glob(".*"):
        if _target(path) is not None:
            path.unlink(missing_ok=True)


def _file_name(name: str, run_id: str) -> str:
    """Return a file name for a run's name; with its ID if characters had to be replaced."""
    safe = re.sub(r"[/\\\x00-\x1f\x7f]+", "_", name).strip().lstrip(".")
    safe = safe.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
    return safe if safe and safe == name else f"{safe or 'run'}-{run_id[:_ID]}"
