"""Versions of registered models: those of each run, and the run of `models:/NAME@ALIAS`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlcli.config.next_command import next_command
from dlcli.errors import DlcliError, RunNotFound
from dlcli.files.paths import is_file
from dlcli.tracking.connection import connect, probe, sqlite_file, store_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# MLflow's addresses of a registered model, and of a logged model.
ADDRESS = "models:/"
_LOGGED = re.compile(r"m-([0-9a-f]{32})")

_ALL = (
    "SELECT v.name, v.version, v.run_id, a.alias FROM model_versions v LEFT JOIN registered_model_aliases a"
    " ON a.name = v.name AND a.version = v.version WHERE v.current_stage <> 'Deleted_Internal'"
    " ORDER BY v.name, v.version, a.alias"
)


class RegisteredVersion(NamedTuple):
    """A version of a registered model.

    Attributes:
        name: name of the registered model.
        version: number of the version.
        run_id: the run that it comes from, as the store knows it; empty if it comes from none.
        aliases: its aliases.
    """

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()

    def words(self) -> str:
        """Return `fraud version 3 (champion)`."""
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} version {self.version}{aliases}"


def versions_by_run(runs_dir: Path) -> dict[str, list[RegisteredVersion]]:
    """Return the versions of registered models that come from each run, by its ID, without loading MLflow.

    The result is empty if the store is not a SQLite file (servers are not contacted), or cannot be read.
    """
    found: dict[str, list[RegisteredVersion]] = {}
    with suppress(DlcliError, sqlite3.Error):
        file = sqlite_file(tracking_uri(runs_dir))
        for version in _read(file) if file is not None and is_file(file) else ():
            found.setdefault(version.run_id, []).append(version)
    return found


def version_at(address: str, runs_dir: Path) -> RegisteredVersion:
    """Return the version at an address: `models:/NAME@ALIAS`, `models:/NAME/3`, or `models:/NAME` for the newest.

    Raises:
        RunNotFound: There is none, or it comes from no run.
        StoreError: The store does not answer, or has no registry.
    """
    place = address.removeprefix(ADDRESS).strip("/")
    if logged := _LOGGED.fullmatch(place):
        return RegisteredVersion(place, 0, logged[1])
    uri = tracking_uri(runs_dir)
    file = sqlite_file(uri)
    name, at, alias = place.partition("@")
    number = ""
    if not at and "/" in name:
        name, _, number = name.rpartition("/")
        number = "" if number.lower() == "latest" else number
    if file is None:
        probe(uri)
        with store_errors(uri):
            versions = list(_ask(connect(uri), name))
    else:
        with store_errors(uri):
            versions = list(_read(file)) if is_file(file) else []
    own = [version for version in versions if version.name == name]
    fitting = [
        version
        for version in own
        if (not alias or alias in version.aliases) and (not number or number == str(version.version))
    ]
    if not fitting:
        raise _not_found(address, name, own, versions, runs_dir)
    found = max(fitting, key=lambda version: version.version)
    if not found.run_id:
        raise RunNotFound(
            f"{found.words()} does not come from a run", address, "Name the run, or its folder."
        )
    return found


def _not_found(
    address: str,
    name: str,
    own: list[RegisteredVersion],
    versions: Iterable[RegisteredVersion],
    runs_dir: Path,
) -> RunNotFound:
    if own:
        return RunNotFound(
            "there is no such version", address, f"There are: {', '.join(one.words() for one in own[-5:])}."
        )
    names = list(dict.fromkeys(one.name for one in versions))
    line = next_command("runs", "register", "RUN", name or "NAME", runs_dir=runs_dir)
    known = f"There are: {', '.join(names[:5])}." if names else f"Register one: {line}"
    return RunNotFound("there is no such registered model", address, known)


def _read(file: Path) -> list[RegisteredVersion]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(_ALL).fetchall()
    found: dict[tuple[str, int], RegisteredVersion] = {}
    for name, number, run_id, alias in rows:
        key = str(name), int(number)
        earlier = found.get(key, RegisteredVersion(*key, str(run_id or "")))
        found[key] = earlier._replace(aliases=(*earlier.aliases, str(alias))) if alias else earlier
    return list(found.values())


def _ask(client: MlflowClient, name: str) -> Iterable[RegisteredVersion]:
    """Yield the versions of a model, or of all models, on a server."""
    quote = '"' if "'" in name else "'"
    own: Iterable[ModelVersion] = client.search_model_versions(f"name = {quote}{name}{quote}")
    # The results of a search lack the aliases.
    by_number: dict[int, list[str]] = {}
    if own:
        for alias, number in client.get_registered_model(name).aliases.items():
            by_number.setdefault(int(number), []).append(alias)
    for one in own or client.search_model_versions():
        aliases = tuple(by_number.get(int(one.version), ())) if one.name == name else ()
        yield RegisteredVersion(one.name, int(one.version), one.run_id or "", aliases)
