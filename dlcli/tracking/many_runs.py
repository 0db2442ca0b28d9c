"""Send many runs that have ended to a SQLite store at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun, DlcliError
from dlcli.tracking.known_runs import has_had, noting
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import ACTIVE_DIR, RunLock
from dlcli.tracking.store_rows import enter, find_row

_log = logging.getLogger(__name__)


@contextmanager
def sent_later(*, warns: bool) -> Iterator[None]:
    """Continue if the store cannot be written to: the runs are recorded, and a later attempt sends them."""
    try:
        yield
    except DlcliError as error:
        reason = error.problems[0].message
        if warns:
            _log.warning("MLflow lacks runs that have ended (%s); the next dlcli command sends them.", reason)


def project_ended(file: Path, runs_dir: Path, folders: Sequence[Path]) -> list[Path]:
    """Enter the runs of some folders that have ended, in one transaction; return the folders of the others.

    A run that a process records is left to it, and so is one that has not begun.

    Raises:
        StoreError: The store cannot be written to. The next command sends the runs.
    """
    ended: list[tuple[Ledger, RunLock]] = []
    others: list[Path] = []
    try:
        for folder in folders:
            ledger = _ledger(folder)
            if ledger is None:
                continue
            if ledger.unfinished:
                others.append(folder)
                continue
            path = runs_dir / ACTIVE_DIR / ledger.token
            if entry := RunLock.take_over(path):
                # Read again under the lock: another command may have sent it meanwhile.
                ended.append((Ledger.load(folder), entry))
            elif path.exists():
                others.append(folder)
        if ended:
            _enter(file, runs_dir, ended)
    finally:
        for _, entry in ended:
            entry.release()
    return others


def _ledger(folder: Path) -> Ledger | None:
    """Return the ledger of a folder; None if it was moved or damaged meanwhile."""
    try:
        return Ledger.load(folder)
    except CorruptRun:
        return None


def _enter(file: Path, runs_dir: Path, ended: Sequence[tuple[Ledger, RunLock]]) -> None:
    sent: list[tuple[Ledger, RunLock, dict[str, Any]]] = []
    with noting(file, runs_dir) as (connection, add):
        for ledger, entry in ended:
            found = find_row(connection, ledger.run_id)
            if found is None and has_had(connection, ledger.run_id):
                continue  # the user has deleted it in MLflow; `reconcile` removes its entry
            if found is not None and found.stage != "active":
                continue
            offset = enter(connection, ledger)
            add(ledger)
            progress = {"status": ledger.status, "name": ledger.run_name, "tags": dict(ledger.tags)}
            sent.append((ledger, entry, {**progress, "offset": offset}))
    for ledger, entry, progress in sent:
        ledger.update(durable=False, projected={**ledger.projected, **progress})
        entry.remove()
