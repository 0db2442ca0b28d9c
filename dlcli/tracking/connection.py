"""Reaching the MLflow store: which one, how long to wait for it, and its refusals in words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dlcli.errors import DlcliError, StoreError, first_line
from dlcli.sanitize.redact import MASK, redact
from dlcli.tracking.damage import sqlite_problem
from dlcli.tracking.database import ensure

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_ANSWER = "the MLflow store does not answer"
NO_RUN = "the MLflow store has no such run any more"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE = "mlflow.db"  # in a runs folder

_log = logging.getLogger(__name__)

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_TRANSFER_TIMEOUT = "120"

# MLflow's own defaults let a store that refuses connections block for four minutes, and report usage.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    _TIMEOUT: "8",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_PROBE_TIMEOUT = (3.0, 5.0)  # seconds to connect, and to answer
_POSTGRESQL = "postgresql://USER@HOST/DATABASE"
# What installs a database's driver, where that is not called as the module is.
_DRIVERS = {"psycopg": "'dlcli[postgres]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


def tracking_uri(runs_dir: Path, uri: str | None = None) -> str:
    """The store to use: `uri`, else MLFLOW_TRACKING_URI, else SQLite in `runs_dir`.

    Raises StoreError for a store that MLflow no longer takes (`file:`, a bare folder).
    """
    default = default_store(runs_dir)
    uri = uri or os.environ.get(URI_VARIABLE) or default
    if not uri.startswith("databricks") and (uri.startswith("file:") or "://" not in uri):
        hint = f"Use {default} (the default where {URI_VARIABLE} is unset), or http://HOST:PORT for a server."
        raise StoreError(f"MLflow takes no such store: {redact(uri)}", URI_VARIABLE, hint)
    if uri.startswith("postgres:"):
        raise StoreError(f"MLflow takes no such store: {redact(uri)}", URI_VARIABLE, f"Write {_POSTGRESQL}")
    path = sqlite_file(uri)
    return _sqlite_uri(path) if path else uri


def default_store(runs_dir: Path) -> str:
    """The SQLite store in a runs folder."""
    return _sqlite_uri(runs_dir / DATABASE)


def _sqlite_uri(path: Path) -> str:
    place = str(path.resolve())
    quoted = place.replace("%", "%25").replace("?", "%3F")
    # MLflow makes the folder of a plain `sqlite:` URI, and would do so under the quoted name.
    return f"sqlite:///{quoted}" if quoted == place else f"sqlite+pysqlite:///{quoted}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(unquote(match[1])) if match else None


def is_server(uri: str) -> bool:
    """Whether others answer for the store, so that it may go away and come back."""
    return uri.startswith(("http://", "https://", "databricks"))


def remember(uri: str, runs_dir: Path) -> str | None:
    """The store as a ledger has it: None for that of the runs folder, which moves with it.

    Another one stays in the environment, password and all, for `recall` in this process and those that it starts.
    """
    if uri == default_store(runs_dir):
        return None
    os.environ[URI_VARIABLE] = uri
    return redact(uri)


def recall(recorded: str | None, runs_dir: Path) -> str:
    """The URI of the store that a ledger names.

    Only the runs folder's own and the one that MLFLOW_TRACKING_URI names are ever reached: a folder may come from
    somebody else, and must not choose where this machine connects to.

    Raises:
        StoreError: the ledger names neither.
    """
    if recorded is None:
        return default_store(runs_dir)
    uri = tracking_uri(runs_dir)
    if redact(uri) == recorded:
        return uri
    whole = ", with its password" if MASK in recorded else ""
    raise StoreError(
        f"the run is recorded in another store, which {URI_VARIABLE} does not name now",
        recorded,
        f"Set {URI_VARIABLE} to that address{whole}.",
    )


def load_mlflow(uri: str) -> None:
    """Import what the store needs, with our defaults. Takes seconds: best done before a lock is held."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # How MLflow makes and upgrades its tables is nothing that the user asked for.
    for name in ("alembic", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Nor are the tracebacks of what it refuses: `store_errors` words it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations that MLflow has to settle with SQLAlchemy
        import mlflow

        if not is_server(uri):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def connect(uri: str, tell: Callable[[str], None] = _log.warning) -> MlflowClient:
    """A client for the store, which is made where it is SQLite and not there. Asks nothing of a server yet.

    `tell` gets a line for whatever became of a file that was not whole.
    """
    load_mlflow(uri)
    from mlflow import MlflowClient

    with store_errors(uri):
        if file := sqlite_file(uri):
            ensure(file, tell)
            forget_connections(uri)
        return MlflowClient(tracking_uri=for_mlflow(uri))


def for_mlflow(uri: str) -> str:
    """The URI as MLflow is given it: so written, it does not make the folder of a SQLite file that has been moved."""
    return re.sub("^sqlite:", "sqlite+pysqlite:", uri)


def forget_connections(uri: str) -> None:
    """MLflow keeps connections open: to a file that was moved away or deleted, it would write for ever."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if engine := SqlAlchemyStore._engine_map.get(for_mlflow(uri)):
        engine.dispose()


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Around the transfer of files: a server may take its time to store a large one. The user's setting stays."""
    if os.environ.get(_TIMEOUT) != _DEFAULTS[_TIMEOUT]:
        yield
        return
    os.environ[_TIMEOUT] = _TRANSFER_TIMEOUT
    try:
        yield
    finally:
        os.environ[_TIMEOUT] = _DEFAULTS[_TIMEOUT]


def probe(uri: str) -> None:
    """Raise StoreError within seconds where no server answers. Any answer will do: MLflow words the rest."""
    if re.match(r"(postgresql|mysql|mssql)[:+]", uri):
        _probe_database(uri)
    if not uri.startswith("http"):
        return
    import requests

    with store_errors(uri):
        try:
            requests.get(uri.rstrip("/") + "/health", timeout=_PROBE_TIMEOUT)
        except requests.exceptions.SSLError:
            return  # it answers; whether its certificate is accepted is MLflow's setting


def _probe_database(uri: str) -> None:
    """MLflow tries again and again, for two minutes."""
    import sqlalchemy
    from sqlalchemy.exc import OperationalError

    with store_errors(uri):
        engine = sqlalchemy.create_engine(uri, connect_args=_probe_options(uri))
        try:
            engine.connect().close()
        except OperationalError as error:
            said = redact(first_line(error.orig or error))
            what = "the store refuses access" if "FATAL" in said else NO_ANSWER
            raise StoreError(what, redact(uri), f"Start it, or correct {URI_VARIABLE}: {said}") from error
        finally:
            engine.dispose()


def _probe_options(uri: str) -> dict[str, int]:
    """How long to wait for a connection, for the drivers that take it, where the address does not say."""
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    patient = "connect_timeout" in url.query or url.get_driver_name() not in ("psycopg", "psycopg2")
    return {} if patient else {"connect_timeout": 5}


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn whatever MLflow, its database or the network throws into a StoreError, or DiskFull."""
    try:
        yield
    except DlcliError:
        raise
    except Exception as error:
        raise _translated(error, uri) from error


def _translated(error: Exception, uri: str) -> DlcliError:
    import requests
    from mlflow.exceptions import MlflowException

    text, where = str(error), redact(uri)
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"pip install {_DRIVERS.get(error.name, error.name)}"
        return StoreError(f"{error.name}, by which it is reached, is not installed", where, hint)
    if problem := sqlite_problem(text, where, sqlite_file(uri)):
        return problem
    network = isinstance(error, OSError | requests.exceptions.RequestException)
    if network or re.search(r"API request to .* failed with (exception|timeout)|Max retries exceeded", text):
        hint = f"Start it, correct {URI_VARIABLE}, or unset that to record in the runs folder."
        return StoreError(NO_ANSWER, where, hint)
    if re.search(r"Run (with id=|')\w+'? not found", text):
        hint = (
            "It was deleted there, or the store has lost it. Only a SQLite file can be filled again from the "
            "ledgers: other stores give runs their IDs themselves. The run's folder has all of its record."
        )
        return StoreError(NO_RUN, where, hint)
    if "out-of-date database schema" in text:
        return StoreError(
            "the store was made by another MLflow", where, f"Back it up, then: mlflow db upgrade {where}"
        )
    if isinstance(error, MlflowException) and error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        hint = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        return StoreError("the store refuses access", where, hint)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return StoreError(f"the store refuses: {redact(line)[:500]}", where, "")
