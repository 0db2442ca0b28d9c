"""The location of a resumed run's record: its own runs folder, and the store that the user names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dlcli.errors import InputError, StoreError
from dlcli.files.paths import resolved
from dlcli.formatting import shell_line
from dlcli.tracking.connection import URI_VARIABLE, default_store, store_errors, tracking_uri
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import link_out, original_of, run_folder
from dlcli.tracking.relocation import move_artifacts
from dlcli.tracking.store import Store


def check_places(family: Sequence[Ledger]) -> None:
    """Check that a run and its descendants are in their places in the runs folder, without links that lead out of it.

    Raises:
        InputError: Resuming would write to another folder.
    """
    for ledger in family:
        if not ledger.is_in_place:
            place = run_folder(Path("RUNS"), ledger.experiment, ledger.run_id)
            raise InputError(
                "a run outside of a runs folder cannot be resumed",
                str(ledger.run_dir),
                f"Move it into a runs folder, as {place}, and give that path.",
            )
        check_no_link_out(ledger)
        whole = ledger.run_dir.parent
        for folder, below, files in os.walk(whole):
            for name in (*below, *files):
                path = Path(folder, name)
                if path.is_symlink() and not resolved(path).is_relative_to(resolved(whole)):
                    hint = "Replace the link by the file, or remove it."
                    raise InputError("a link in the run's folder leads outside of it", str(path), hint)


def check_no_link_out(ledger: Ledger) -> None:
    """Check that a run's folder is not a link, or below a link, that leads out of the runs folder.

    Raises:
        InputError: It is.
    """
    if (link := link_out(ledger.run_dir)) is not None:
        real = resolved(link)
        hint = f"Use the runs folder in which {real} is, or replace the link by the folder."
        raise InputError("is a link that leads out of the runs folder", str(link), hint)


def store_for_resuming(ledger: Ledger, command: str) -> str:
    """Return the address of the store for a resumed run: that of its runs folder, or the one that the user names.

    Args:
        ledger: ledger of the run.
        command: the command that resumes it, for the message.

    Raises:
        StoreError: The run is recorded in another store, and the user has not named one.
    """
    if ledger.tracking_uri is None:
        return default_store(ledger.runs_dir)
    if not os.environ.get(URI_VARIABLE):
        line = f"{URI_VARIABLE}={shell_line(ledger.tracking_uri)} {command}"
        raise StoreError(
            f"the run is not recorded in its runs folder's store, and {URI_VARIABLE} is not set",
            ledger.tracking_uri,
            f"If that store is yours, set the variable: {line}",
        )
    return tracking_uri(ledger.runs_dir)


def switch_store(store: Store, family: Sequence[Ledger]) -> str:
    """Continue the record of a run and its descendants in the store that the user names.

    Args:
        store: the store.
        family: ledgers of the run, which comes first, and of its descendants.

    Returns:
        A note on the change, or an empty text.

    Raises:
        StoreError: The store does not have the run, or has it for the folder of which this one is a copy.
    """
    root = family[0]
    if store.recorded_uri is None and root.tracking_uri is None:
        return ""
    here = {ledger.run_id: ledger.run_dir for ledger in family}
    uri = _artifact_uri(store, root)
    if root.artifact_uri is None and uri != root.run_dir.as_uri():
        if original := original_of(root, uri):
            raise StoreError(
                "the run is a copy, but the store refers to the original: both would be recorded as one run",
                str(original),
                f"Resume the original, or record the copy in a separate store ({URI_VARIABLE}).",
            )
        move_artifacts(store.uri, here)
    if root.tracking_uri == store.recorded_uri:
        return ""
    was = root.store_uri
    # The root comes last, so that after a kill the next resumption repeats this.
    for ledger in reversed(family):
        ledger.update(tracking_uri=store.recorded_uri)
    return f"The run was recorded in {was}, and continues in {store.public_uri}."


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
        f"It was recorded in {ledger.store_uri}.",
    )
