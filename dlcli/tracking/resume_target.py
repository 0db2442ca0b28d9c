"""Where a run that goes on is recorded: in the runs folder that it lies in, and the store that the user names now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dlcli.errors import InputError, StoreError
from dlcli.files.paths import whole
from dlcli.tracking.connection import URI_VARIABLE, default_store, store_errors, tracking_uri
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import original_of, run_folder
from dlcli.tracking.relocation import move_artifacts
from dlcli.tracking.store import Store


def check_place(ledger: Ledger) -> None:
    """Refuse a folder that lies in no runs folder, or that leads out of it.

    Raises:
        InputError: what goes on would be written elsewhere.
    """
    if not ledger.is_in_place:
        place = run_folder(Path("RUNS"), ledger.experiment, ledger.run_id)
        raise InputError(
            "a copy of a run's folder alone cannot go on: its record would have no place",
            str(ledger.run_dir),
            f"Put it into a runs folder, as {place}, and name it by that path.",
        )
    for folder, below, files in os.walk(ledger.run_dir):
        for name in (*below, *files):
            path = Path(folder, name)
            if path.is_symlink() and not whole(path).is_relative_to(whole(ledger.run_dir)):
                hint = "Put the file itself there, or remove the link."
                raise InputError("the run's folder leads out of itself by a link", str(path), hint)


def store_to_go_on_in(ledger: Ledger, command: Sequence[str]) -> str:
    """The store of a run that goes on: its runs folder's, or where it has another one, the one that the user names.

    Args:
        ledger: of the run.
        command: by which it goes on, for the message.

    Raises:
        StoreError: it is recorded in another one, and the user names none.
    """
    if ledger.tracking_uri is None:
        return default_store(ledger.runs_dir)
    if not os.environ.get(URI_VARIABLE):
        line = f"{URI_VARIABLE}={shlex.quote(ledger.tracking_uri)} {shlex.join(command)}"
        raise StoreError(
            f"the run is recorded in another store than its runs folder's, and {URI_VARIABLE} is not set",
            ledger.tracking_uri,
            f"If it is yours, name it again: {line}",
        )
    return tracking_uri(ledger.runs_dir)


def take_up(store: Store, family: Sequence[Ledger]) -> str:
    """Let a run and those that belong to it be recorded in the store that the user names; what changes, or nothing.

    Raises:
        StoreError: it does not know the run (the first of the family), or has it for that of another folder.
    """
    whole = family[0]
    if store.recorded_uri is None and whole.tracking_uri is None:
        return ""
    here = {ledger.run_id: ledger.run_dir for ledger in family}
    uri = _artifact_uri(store, whole)
    if whole.artifact_uri is None and uri != whole.run_dir.as_uri():
        if original := original_of(whole, uri):
            raise StoreError(
                "the run is a copy, and the store has it for the original: both would be recorded as one",
                str(original),
                f"Go on with the original, or record the copy in a store of its own ({URI_VARIABLE}).",
            )
        move_artifacts(store.uri, here)
    if whole.tracking_uri == store.recorded_uri:
        return ""
    was = whole.store_uri
    for ledger in reversed(family):  # the whole last: whatever a kill leaves is taken up again
        ledger.update(tracking_uri=store.recorded_uri)
    return f"The run was recorded in {was}, and goes on in {store.public_uri}."


def _artifact_uri(store: Store, ledger: Ledger) -> str:
    from mlflow.exceptions import MlflowException

    with store_errors(store.uri):
        try:
            return str(store.client.get_run(ledger.run_id).info.artifact_uri)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    raise StoreError(
        f"the store has no run {ledger.run_id}",
        store.public_uri,
        f"{ledger.store_uri} is where it was recorded.",
    )
