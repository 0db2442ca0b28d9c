from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_runs import new_run

from dlcli.tracking.connection import URI_VARIABLE
from dlcli.tracking.liveness import entries
from dlcli.tracking.store import Store, open_store


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "")


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the session, since creating its tables takes a second."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def store(runs_dir: Path) -> Iterator[Store]:
    with open_store(runs_dir) as opened:
        yield opened
    for entry in entries(runs_dir):
        entry.unlink()


@pytest.fixture
def run_dir(store: Store) -> Path:
    return new_run(store)
