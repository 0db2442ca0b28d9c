import os
from pathlib import Path

import pytest

from dlcli.errors import StoreError
from dlcli.tracking.connection import URI_VARIABLE, load_mlflow, patient, recall, remember, tracking_uri

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


def test_a_password_is_in_no_ledger_and_still_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "")
    public = remember("http://me:hunter2@host:5000")
    assert "hunter2" not in public
    assert recall(public) == "http://me:hunter2@host:5000"
    monkeypatch.setenv(URI_VARIABLE, "http://elsewhere:5000")
    with pytest.raises(StoreError, match=URI_VARIABLE):
        recall(public)


def test_the_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT, "77")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    load_mlflow("http://host")
    with patient():
        assert os.environ[TIMEOUT] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_files_have_more_time_than_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)
    load_mlflow("http://host")
    usual = int(os.environ[TIMEOUT])
    with patient():
        assert int(os.environ[TIMEOUT]) > 10 * usual
    assert int(os.environ[TIMEOUT]) == usual
