"""`dlcli runs register`: register the saved model of a run as a version of a registered model in MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlcli.config.next_command import next_command
from dlcli.errors import InputError
from dlcli.files.paths import is_file
from dlcli.gate.seal import is_sealed
from dlcli.gate.vouching import CONFIG_FILE
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.inventory import with_true_status
from dlcli.runs.recorded import read_config_text
from dlcli.sanitize.redact import redact
from dlcli.tracking.connection import URI_VARIABLE, recall, sqlite_file, store_errors, tracking_uri
from dlcli.tracking.database import locked_store
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.logged_model import MODEL_FOLDER, model_id
from dlcli.tracking.pushing import find_pushed
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.server_models import find_logged_model
from dlcli.tracking.store import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_VERSIONS_TAG = "mlflow.modelVersions"
_LONGEST_NAME = 256
_ALIAS = re.compile(r"(?!latest$|v\d+$)[\w-]{1,255}", re.IGNORECASE | re.ASCII)  # MLflow's rule


class RegisteredModel(NamedTuple):
    """A version of a registered model.

    Attributes:
        ledger: the ledger of the run that it comes from.
        store_uri: address of the store that it is in, without a password.
        name: name of the registered model.
        version: number of the version.
        aliases: all its aliases.
        is_new: whether it was created now; otherwise the run had been registered under this name before.
        replaced: the version that had the alias before; None if there was none.
        notes: notes for the user from updating MLflow.
    """

    ledger: Ledger
    store_uri: str
    name: str
    version: str
    aliases: tuple[str, ...]
    is_new: bool
    replaced: str | None
    notes: tuple[str, ...]


def register_model(
    run_dir: Path, name: str, alias: str | None = None, *, trust: bool = False
) -> RegisteredModel:
    """Register the saved model of a run; a run that is registered under the name keeps its version.

    Args:
        run_dir: the run.
        name: name of the registered model, which is created if there is none.
        alias: alias that is moved to this version.
        trust: also register the model of a run without the user's seal.

    Raises:
        InputError: MLflow does not accept the name or alias, or the run has no saved model or no seal.
        CorruptRun: The saved model differs from what was recorded.
        StoreError: The store refuses, has no registry or does not answer; the command can be repeated.
    """
    _check_words(name, alias)
    ledger, status = with_true_status(Ledger.load(run_dir))
    if not ledger.is_in_place:
        hint = "Move it to RUNS/EXPERIMENT/RUN_ID/artifacts, in a runs folder."
        raise InputError(
            "is a folder outside of a runs folder, which is unknown to MLflow", str(run_dir), hint
        )
    if status != "FINISHED":
        raise InputError(f"the run is {status}", ledger.run_name, "Register a run that has finished.")
    if not is_file(run_dir / MODEL_FOLDER / "MLmodel"):
        hint = (
            "It was not kept: see tracking.keep."
            if ledger.parent_id is not None
            else "An ensemble predicts with the models of its members, which can be registered by their IDs. A sweep "
            "trains a single model with sweep.ensemble=0."
            if members_in(ledger)
            else "A cross-validation or sweep saves a model with cv.refit=true; a fold or trial can be named by its ID."
        )
        raise InputError("the run has no saved model", ledger.run_name, hint)
    check_recorded(ledger, MODEL_MANIFEST)
    if not trust and not is_sealed(run_dir, CONFIG_FILE, read_config_text(ledger)):
        hint = (
            "MLflow would run the code and install the packages that its folder names. "
            "If you trust the run, add --trust."
        )
        raise InputError("the run comes from elsewhere: it has no seal of yours", ledger.run_name, hint)
    notes = tuple(reconcile(ledger.runs_dir))
    own = recall(ledger.tracking_uri, ledger.runs_dir)
    address = tracking_uri(ledger.runs_dir)
    # Opening updates the addresses of a runs folder that was moved.
    with open_store(ledger.runs_dir, address) as store, store_errors(address), _one_at_a_time(address):
        client, notes = store.client, (*notes, *store.notes)
        run_id = ledger.run_id if address == own else _pushed_id(client, ledger, address)
        found = _version_of(client, name, run_id)
        version = found or _new_version(client, name, run_id)
        _link(client, name, str(version.version), run_id)
        replaced = _set_alias(client, name, alias, str(version.version)) if alias else None
        aliases = client.get_model_version(name, version.version).aliases
    return RegisteredModel(
        ledger, redact(address), name, str(version.version), tuple(aliases), found is None, replaced, notes
    )


@contextmanager
def _one_at_a_time(address: str) -> Iterator[None]:
    """Within the context, no other command can register a model in the same SQLite file."""
    file = sqlite_file(address)
    with nullcontext() if file is None else locked_store(file):
        yield


def _pushed_id(client: MlflowClient, ledger: Ledger, address: str) -> str:
    """Return the ID of a run in the store of `MLFLOW_TRACKING_URI`, to which it was pushed."""
    experiment = client.get_experiment_by_name(ledger.experiment)
    found = find_pushed(client, experiment.experiment_id, ledger) if experiment is not None else None
    if found is None:
        push = next_command("runs", "push", redact(address), ledger.run_id[:8], runs_dir=ledger.runs_dir)
        raise InputError(
            f"the run is not in the store of {URI_VARIABLE}, {redact(address)}",
            ledger.run_name,
            f"Push it there: {push}, or unset {URI_VARIABLE} to register it in the store of its runs folder.",
        )
    return str(found.info.run_id)


def _check_words(name: str, alias: str | None) -> None:
    is_path = name.startswith("..") or name == "."
    if not name.strip() or len(name) > _LONGEST_NAME or is_path or re.search(r"[/:\x00-\x1f\x7f]", name):
        hint = f"A name has 1 to {_LONGEST_NAME} characters, without / : and control characters, and no .. in front."
        raise InputError("cannot be the name of a registered model", name or "NAME", hint)
    if alias is not None and not _ALIAS.fullmatch(alias):
        hint = "An alias consists of letters, digits, _ and -; latest and v1, v2, ... are reserved by MLflow."
        raise InputError("cannot be an alias", alias or "--alias", hint)


def _version_of(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    """Return the newest version of a registered model that comes from a run."""
    # MLflow's filters cannot quote all names.
    found = [v for v in client.search_model_versions(f"run_id = '{run_id}'") if v.name == name]
    return max(found, key=lambda version: int(version.version), default=None)


def _new_version(client: MlflowClient, name: str, run_id: str) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(name, f"runs:/{run_id}/{MODEL_FOLDER}", run_id)


def _link(client: MlflowClient, name: str, version: str, run_id: str) -> None:
    """Add a version to the tags of the run's logged model, as `mlflow.register_model` does for MLflow's UI."""
    from mlflow.exceptions import MlflowException

    model = model_id(run_id)
    try:
        if sqlite_file(client.tracking_uri) is None:
            model = find_logged_model(client, client.get_run(run_id).info.experiment_id, run_id) or model
        known = client.get_logged_model(model).tags.get(_VERSIONS_TAG)
    except MlflowException as error:  # a child run, or a server before MLflow 3
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"):
            raise
        return
    versions = json.loads(known or "[]")
    if (entry := {"name": name, "version": version}) not in versions:
        client.set_logged_model_tags(model, {_VERSIONS_TAG: json.dumps([*versions, entry])})


def _set_alias(client: MlflowClient, name: str, alias: str, version: str) -> str | None:
    """Move an alias to a version, and return the version that had it."""
    before = client.get_registered_model(name).aliases.get(alias)
    client.set_registered_model_alias(name, alias, version)
    return None if before is None or str(before) == version else str(before)
