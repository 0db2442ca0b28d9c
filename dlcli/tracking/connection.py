"""Connection to the MLflow store: its address, timeouts, and translation of its errors."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dlcli.errors import DlcliError, StoreError, first_line
from dlcli.files.paths import resolved
from dlcli.formatting import shell_line
from dlcli.sanitize.redact import MASK, redact
from dlcli.tracking.damage import JOURNALS, sqlite_problem
from dlcli.tracking.database import ensure, is_ready, needs_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_ANSWER = "the MLflow store does not answer"
NO_RUN = "the MLflow store no longer has this run"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE = "mlflow.db"  # in a runs folder

_log = logging.getLogger(__name__)
# MLflow's modules import each other in circles, so that importing them in two threads at once can fail.
_loading = threading.RLock()

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_TRANSFER_TIMEOUT = "120"

# With MLflow's defaults, a store that refuses connections blocks for four minutes.
_DEFAULTS = {
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
# Module of a database driver to its package, if the names differ.
_DRIVERS = {
    "psycopg": "'psycopg[binary]' 'sqlalchemy>=2.1'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


def _set_defaults() -> None:
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


_set_defaults()  # they must be set before MLflow is imported, in this process or a child


def tracking_uri(runs_dir: Path, uri: str | None = None) -> str:
    """Return the address of the store: `uri`, MLFLOW_TRACKING_URI, or the SQLite store in `runs_dir`.

    Raises StoreError for addresses that MLflow no longer supports (`file:`, a folder).
    """
    uri = uri or os.environ.get(URI_VARIABLE) or default_store(runs_dir)
    default = _sqlite_uri(runs_dir / DATABASE)
    if not uri.startswith("databricks") and (uri.startswith("file:") or "://" not in uri):
        hint = f"Use {default} (the default if {URI_VARIABLE} is unset), or http://HOST:PORT for a server."
        raise StoreError(f"MLflow does not support this store: {redact(uri)}", URI_VARIABLE, hint)
    # A store in memory would be lost at the end of the process.
    if uri in (
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
    ):
        hint = f"Use {default} (the default if {URI_VARIABLE} is unset)."
        raise StoreError("the address names no file", redact(uri), hint)
    if uri.startswith("postgres:"):
        hint = f"Use {_POSTGRESQL}"
        raise StoreError(f"MLflow does not support this store: {redact(uri)}", URI_VARIABLE, hint)
    path = sqlite_file(uri)
    return _sqlite_uri(path) if path else uri


def default_store(runs_dir: Path) -> str:
    """Return the address of the SQLite store in a runs folder.

    Raises:
        StoreError: The file, or a journal of it, is a link that leads out of the runs folder.
    """
    for file in (runs_dir / f"{DATABASE}{ending}" for ending in ("", *JOURNALS)):
        if file.is_symlink() and not resolved(file).is_relative_to(resolved(runs_dir)):
            hint = f"Remove the link. To record in another store, set {URI_VARIABLE}=sqlite:///FILE."
            raise StoreError("the store is a link that leads out of the runs folder", str(file), hint)
    return _sqlite_uri(runs_dir / DATABASE)


def _sqlite_uri(path: Path) -> str:
    resolved = str(path.resolve())
    quoted = resolved.replace("%", "%25").replace("?", "%3F")
    # MLflow would create the folder of a plain `sqlite:` URI under its quoted name.
    return f"sqlite:///{quoted}" if quoted == resolved else f"sqlite+pysqlite:///{quoted}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for other stores."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(unquote(match[1])) if match else None


def is_server(uri: str) -> bool:
    """Return whether the store is a server, which may be temporarily unavailable."""
    return uri.startswith(("http://", "https://", "databricks"))


def remember(uri: str, runs_dir: Path) -> str | None:
    """Return the store's address for the ledger; None for the store of the runs folder, so that it can be moved.

    The address of another store is kept in the environment, including its password, for `recall` in this process and in
    its child processes.
    """
    if uri == _sqlite_uri(runs_dir / DATABASE):
        return None
    os.environ[URI_VARIABLE] = uri
    return redact(uri)


def recall(recorded: str | None, runs_dir: Path) -> str:
    """Return the address of the store in a ledger.

    Connections are only made to the runs folder's own store and to that of MLFLOW_TRACKING_URI: a run's folder may come
    from another user, and must not choose which host this machine connects to.

    Raises:
        StoreError: The ledger names another store.
    """
    if recorded is None:
        return default_store(runs_dir)
    uri = tracking_uri(runs_dir)
    if redact(uri) == recorded:
        return uri
    password = ", with its password" if MASK in recorded else ""
    raise StoreError(
        f"the run is recorded in another store than that of {URI_VARIABLE}",
        recorded,
        f"Set {URI_VARIABLE} to that address{password}.",
    )


def load_mlflow(uri: str | None = None) -> None:
    """Import MLflow with dlcli's settings. This takes seconds, so call it before acquiring a lock.

    Threads must call it before they import any module of MLflow.

    Args:
        uri: address of the store that will be used, if any.
    """
    _set_defaults()
    # Suppress messages about the creation and upgrade of MLflow's tables.
    for name in ("alembic", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Suppress tracebacks of errors, which `store_errors` translates.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow uses deprecated functions of SQLAlchemy
        import mlflow

        if uri is not None and not is_server(uri):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def connect(uri: str, tell: Callable[[str], None] = _log.warning) -> MlflowClient:
    """Return a client for the store. A SQLite store is created if necessary; a server is not contacted yet.

    `tell` is called with a line for each repair of a SQLite file.
    """
    load_mlflow(uri)
    from mlflow import MlflowClient

    prepare(uri, tell)
    with store_errors(uri):
        return MlflowClient(tracking_uri=for_mlflow(uri))


def prepare(uri: str, tell: Callable[[str], None] = _log.warning) -> None:
    """Create or repair a SQLite store if necessary, importing MLflow unless an empty store is cached.

    Other stores are not contacted.
    """
    if file := sqlite_file(uri):
        with store_errors(uri):
            if not is_ready(file):
                if needs_mlflow(file):
                    load_mlflow(uri)
                ensure(file, tell)
            forget_connections(uri)


def for_mlflow(uri: str) -> str:
    """Return the address for MLflow, in a form with which it does not create a missing folder of a SQLite file."""
    return re.sub("^sqlite:", "sqlite+pysqlite:", uri)


def forget_connections(uri: str) -> None:
    """Close MLflow's pooled connections, which would continue to write to a file that was moved or deleted."""
    loaded = sys.modules.get("mlflow.store.tracking.sqlalchemy_store")
    if loaded and (engine := loaded.SqlAlchemyStore._engine_map.get(for_mlflow(uri))):
        engine.dispose()


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Raise the HTTP timeout for file transfers within this context, unless the user has set one."""
    if os.environ.get(_TIMEOUT) != _DEFAULTS[_TIMEOUT]:
        yield
        return
    os.environ[_TIMEOUT] = _TRANSFER_TIMEOUT
    try:
        yield
    finally:
        os.environ[_TIMEOUT] = _DEFAULTS[_TIMEOUT]


def probe(uri: str) -> None:
    """Raise a StoreError within seconds if a server does not answer. Any answer counts, since MLflow reports errors."""
    if re.match(r"(postgresql|mysql|mssql)[:+]", uri):
        _probe_database(uri)
    if not uri.startswith("http"):
        return
    import requests

    with store_errors(uri):
        try:
            requests.get(uri.rstrip("/") + "/health", timeout=_PROBE_TIMEOUT)
        except requests.exceptions.SSLError:
            return  # the server answers; MLflow's settings determine whether its certificate is accepted


def _probe_database(uri: str) -> None:
    """Connect to the database once, because MLflow would retry for two minutes."""
    import sqlalchemy
    from sqlalchemy.exc import OperationalError

    with store_errors(uri):
        engine = sqlalchemy.create_engine(uri, connect_args=_probe_options(uri))
        try:
            engine.connect().close()
        except OperationalError as error:
            reason = redact(first_line(error.orig or error))
            what = "the store refuses access" if "FATAL" in reason else NO_ANSWER
            raise StoreError(what, redact(uri), f"Start it, or correct {URI_VARIABLE}: {reason}") from error
        finally:
            engine.dispose()


def _probe_options(uri: str) -> dict[str, int]:
    """Return the connection timeout as driver options, if the driver supports it and the address does not set it."""
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    is_set = "connect_timeout" in url.query or url.get_driver_name() not in ("psycopg", "psycopg2")
    return {} if is_set else {"connect_timeout": 5}


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Translate errors of MLflow, its database and the network into StoreError or DiskFull."""
    try:
        yield
    except DlcliError:
        raise
    except Exception as error:
        raise _translated(error, uri) from error


def no_run(uri: str) -> StoreError:
    """Return the error for a run that is no longer in the store."""
    hint = (
        "It was deleted there, or lost by the store. Only a SQLite file can be refilled from the ledgers, since other "
        "stores assign the IDs of runs. The record in the run's folder is complete."
    )
    return StoreError(NO_RUN, redact(uri), hint)


def deleted_experiment(experiment_id: int | str, name: str, uri: str) -> StoreError:
    """Return the error for an experiment that is deleted in the store."""
    restore = shell_line("mlflow", "experiments", "restore", "-x", str(experiment_id))
    line = f"MLFLOW_TRACKING_URI={shell_line(redact(uri))} {restore}"
    hint = f"Choose another experiment_name, or restore it: {line}"
    return StoreError(f"the experiment {name!r} is deleted", redact(uri), hint)


def _translated(error: Exception, uri: str) -> DlcliError:
    text, where = str(error), redact(uri)
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"pip install {_DRIVERS.get(error.name, error.name)}"
        return StoreError(f"the driver {error.name} is not installed", where, hint)
    if problem := sqlite_problem(text, where, sqlite_file(uri)):
        return problem
    # Errors of `requests` are OSErrors, too. Nothing is imported here, because a thread may have raised the error.
    network = isinstance(error, OSError)
    if network or re.search(r"API request to .* failed with (exception|timeout)|Max retries exceeded", text):
        hint = f"Start it, or correct {URI_VARIABLE}, or unset it to record in the runs folder."
        return StoreError(NO_ANSWER, where, hint)
    if re.search(r"Run (with id=|')\w+'? not found", text):
        return no_run(uri)
    if "out-of-date database schema" in text:
        return StoreError(
            "the store was created by another version of MLflow",
            where,
            f"Back it up, then: mlflow db upgrade {where}",
        )
    if getattr(error, "error_code", None) in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        hint = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        return StoreError("the store refuses access", where, hint)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return StoreError(f"the store reports an error: {redact(line)[:500]}", where, "")
