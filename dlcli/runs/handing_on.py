"""`dlcli runs push`: send whole runs to another store or runs folder, parents before their child runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import InputError
from dlcli.files.paths import resolved
from dlcli.runs.archive import copy_runs
from dlcli.runs.arrival import arrive, check_files
from dlcli.runs.inventory import ListedRun
from dlcli.tracking.connection import URI_VARIABLE, default_store, tracking_uri
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.pushing import Sent, push_run
from dlcli.tracking.store import open_store


class PushedRun(NamedTuple):
    """A run, its ID at the destination, and whether it was sent, completed, or already existed."""

    ledger: Ledger
    run_id: str
    sent: Sent


def push_to_folder(
    runs: Sequence[ListedRun], runs_dir: Path, folder: Path
) -> tuple[list[PushedRun], list[str]]:
    """Copy whole runs to another runs folder, and record them in its store.

    Raises:
        CorruptRun: A file of a run differs from what was recorded.
        InputError: It is the same folder, a run has not ended, or the folder has another record of it.
    """
    if resolved(folder) == resolved(runs_dir):
        raise InputError("is the runs folder that the runs are in", str(folder), "Name another folder.")
    arrived = arrive(folder, lambda place: copy_runs(runs, place))
    found = [PushedRun(ledger, ledger.run_id, "sent") for ledger in arrived.new]
    found += [PushedRun(ledger, ledger.run_id, "there") for ledger in arrived.known]
    return found, list(arrived.notes)


def push_to_store(runs: Sequence[ListedRun], runs_dir: Path, uri: str) -> Iterator[PushedRun]:
    """Send whole runs to an MLflow store, and yield each run when the store has it.

    Raises:
        CorruptRun: A file of a run differs from what was recorded.
        InputError: A run has not ended, or it is the store of the runs folder.
        StoreError: The store refuses or does not answer; repeating the push continues.
    """
    if tracking_uri(runs_dir, uri) == default_store(runs_dir):
        raise InputError("is the store that the runs are in", uri, "Name another store.")
    for part in (part for run in runs for part in run.all()):
        if part.status in ("RUNNING", "SCHEDULED"):
            raise InputError(f"the run is {part.status}", part.name, "Push it when it has ended.")
        check_files(Ledger.load(part.folder))
    ids: dict[str, str] = {}
    with _environment_kept(), open_store(runs_dir, uri) as store:
        for part in (part for run in runs for part in run.all()):
            ledger = Ledger.load(part.folder)
            ids[ledger.run_id], sent = push_run(store, ledger, ids.get(ledger.parent_id or ""))
            yield PushedRun(ledger, ids[ledger.run_id], sent)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """On exit, restore the environment variable of the store's address, which opening a store sets."""
    before = environ.get(URI_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            environ.pop(URI_VARIABLE, None)
        else:
            environ[URI_VARIABLE] = before
