import os
import sys
from pathlib import Path

import pytest

from dlcli.errors import StoreError
from dlcli.tracking.connection import (
    URI_VARIABLE,
    _probe_options,
    load_mlflow,
    patient,
    probe,
    recall,
    remember,
    tracking_uri,
)

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"


def test_the_store_is_sqlite_in_the_runs_folder_unless_the_environment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv(URI_VARIABLE, "http://host:5000")
    assert tracking_uri(tmp_path) == "http://host:5000"
    assert tracking_uri(tmp_path, "http://other:5000") == "http://other:5000"


def test_a_relative_sqlite_store_means_the_same_from_everywhere(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path, "sqlite:///mine.db") == f"sqlite:///{Path.cwd()}/mine.db"


@pytest.mark.parametrize("uri", ["http://me:hunter2@host:5000", "postgresql:///db?user=me&password=hunter2"])
def test_a_password_is_in_no_ledger_and_still_at_hand(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "")
    public = remember(uri, Path())
    assert public is not None
    assert "hunter2" not in public
    assert recall(public, Path()) == uri
    for other in ("http://elsewhere:5000", ""):  # an address in a ledger is never followed
        monkeypatch.setenv(URI_VARIABLE, other)
        with pytest.raises(StoreError, match=URI_VARIABLE):
            recall(public, Path())


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("postgresql://me:hunter2@127.0.0.1:1/db", "does not answer", "Connection refused"),
        ("postgresql:///db?host=/nowhere&password=hunter2", "does not answer", "Start it"),
        ("mysql+none://me:hunter2@host/db", "reports an error: Can't load plugin", ""),
    ],
)
def test_a_database_that_does_not_answer_is_reported_at_once(uri: str, message: str, hint: str) -> None:
    """MLflow itself would try for two minutes."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    with pytest.raises(StoreError, match=message) as caught:
        probe(uri)
    (problem,) = caught.value.problems
    assert hint in problem.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "line"),
    [("psycopg", "pip install 'psycopg[binary]' 'sqlalchemy>=2.1'"), ("pymysql", "pip install pymysql")],
)
def test_a_driver_that_is_missing_can_be_installed(
    module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    uri = f"{'postgresql' if module == 'psycopg' else f'mysql+{module}'}://me:hunter2@host/db"
    with pytest.raises(StoreError, match=f"the driver {module} is not installed") as caught:
        probe(uri)
    assert caught.value.problems[0].hint == line


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("postgresql://host/db", {"connect_timeout": 5}),
        ("postgresql+psycopg2://host/db", {"connect_timeout": 5}),
        ("postgresql://host/db?connect_timeout=30", {}),
        ("postgresql+pg8000://host/db", {}),  # does not support this argument
        ("mysql+pymysql://host/db", {}),
    ],
)
def test_a_database_is_waited_for_as_its_driver_and_address_say(uri: str, options: dict[str, int]) -> None:
    assert _probe_options(uri) == options


def test_the_short_name_of_postgresql_is_corrected() -> None:
    with pytest.raises(StoreError, match=r"Use postgresql://"):
        tracking_uri(Path(), "postgres://me:hunter2@host/db")


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///"])
def test_a_store_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match="the address names no file"):
        tracking_uri(Path(), uri)


def test_the_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT, "77")
    load_mlflow("http://host")
    with patient():
        assert os.environ[TIMEOUT] == "77"


def test_files_have_more_time_than_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)
    load_mlflow("http://host")
    usual = int(os.environ[TIMEOUT])
    with patient():
        assert int(os.environ[TIMEOUT]) > 10 * usual
    assert int(os.environ[TIMEOUT]) == usual
