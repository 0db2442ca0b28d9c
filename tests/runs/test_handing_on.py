"""`dlcli runs push`: a record is sent to another folder, a database or a server, once."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.runs import fetch
from dlcli.runs.handing_on import push_to_folder, push_to_store
from dlcli.runs.inventory import list_runs
from dlcli.tracking import pushing
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a cross-validation and its fold."""
    folder = tmp_path_factory.mktemp("pushed") / "runs"
    parent = None
    with open_store(folder) as store:
        for kind in ("cv", "fold"):
            run_dir = store.create_run(
                experiment="exp",
                run_name=kind,
                kind=kind,  # type: ignore[arg-type]
                params={"lr": 1},
                tags={"team": "red"},
                parent_id=parent,
            )
            with Recorder(run_dir, system_metrics=False) as recorder:
                recorder.log({"val/loss": 0.5}, step=3)
                recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"]})
            parent = parent or run_dir.parent.name
    return folder


def dlcli(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, ["runs", "push", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def test_runs_are_pushed_to_a_folder_once(runs_dir: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    assert "2 runs pushed to" in dlcli(there, "cv", "--runs-dir", runs_dir).stdout
    again = dlcli(there, "cv", "--runs-dir", runs_dir).stdout
    assert "0 runs pushed" in again and "2 runs were there already" in again
    assert [run.name for run in list_runs(there, NOW)] == ["cv"]
    with pytest.raises(InputError, match="is the runs folder that the runs are in"):
        push_to_folder(list_runs(runs_dir, NOW), runs_dir, runs_dir)


def test_runs_are_pushed_to_a_database_once(runs_dir: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    before = dict(os.environ)
    document = json.loads(dlcli(uri, "cv", "--json", "--runs-dir", runs_dir).stdout)
    assert [run["sent"] for run in document["runs"]] == ["sent", "sent"]
    assert "2 runs were there already" in dlcli(uri, "--filter", "name=cv", "--runs-dir", runs_dir).stdout
    client = MlflowClient(uri)
    for about in document["runs"]:
        run = client.get_run(about["run_id"])
        assert (run.info.status, run.data.metrics["val/loss"]) == ("FINISHED", 0.5)
    experiment = client.get_experiment_by_name("exp")
    assert experiment.artifact_location == (tmp_path / "exp").as_uri()
    assert os.environ.get("MLFLOW_TRACKING_URI") == before.get("MLFLOW_TRACKING_URI")
    with pytest.raises(InputError, match="is the store that the runs are in"):
        next(push_to_store(list_runs(runs_dir, NOW), runs_dir, f"sqlite:///{runs_dir}/mlflow.db"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that assigns the IDs of its runs and keeps their artifacts, as a server does."""
    monkeypatch.setattr(pushing, "sqlite_file", lambda uri: None)
    return open_store(tmp_path / "server")


def pushed(server: Store, runs_dir: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    (whole,) = list_runs(runs_dir, NOW)
    for part in whole.all():
        parent = found[0][0] if found else None
        found.append(pushing.push_run(server, Ledger.load(part.folder), parent))
    return found


def test_runs_are_pushed_to_a_server_once(server: Store, runs_dir: Path) -> None:
    first = pushed(server, runs_dir)
    assert [how for _, how in first] == ["sent", "sent"]
    assert pushed(server, runs_dir) == [(run_id, "there") for run_id, _ in first]
    cv, fold = (server.client.get_run(run_id) for run_id, _ in first)
    (whole,) = list_runs(runs_dir, NOW)
    assert cv.data.tags[pushing.ID_TAG] == whole.run_id != cv.info.run_id
    assert fold.data.tags["mlflow.parentRunId"] == cv.info.run_id
    assert (fold.data.params, fold.data.tags["team"]) == ({"lr": "1"}, "red")
    assert fold.info.end_time < NOW.timestamp() * 1000 + 1e9
    (history,) = server.client.get_metric_history(fold.info.run_id, "val/loss")
    assert (history.value, history.step) == (0.5, 3)
    assert "ledger.json" in {file.path for file in server.client.list_artifacts(fold.info.run_id)}


def test_a_run_that_only_a_server_has(
    server: Store, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cv, _), (fold, _) = pushed(server, runs_dir)
    (whole,) = list_runs(runs_dir, NOW)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(fetch, "is_server", lambda uri: True)
    here = tmp_path / "here"

    def runs(*words: object, place: Path = here) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["runs", *map(str, words), "--runs-dir", str(place)])
        return done.exit_code, " ".join(done.output.replace("│", " ").split())

    code, said = runs("rm", fold, "--yes")
    assert code == 2 and f"there is no run {fold} in" in said
    assert not list(here.glob("exp/*"))
    code, said = runs("export", cv, tmp_path / "cv.zip")
    assert code == 0 and f"The folds of {whole.run_id[:8]} are not on this machine" in said
    assert [run.run_id for run in list_runs(here, NOW)] == [whole.run_id]
    own_id = whole.children[0].run_id  # a tag there
    code, said = runs("push", tmp_path / "there", own_id, place=tmp_path / "elsewhere")
    assert code == 0, said
    assert [run.name for run in list_runs(tmp_path / "there", NOW)] == ["fold"]


def test_an_interrupted_push_is_completed(
    server: Store, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as kill:
        kill.setattr(server.client, "log_artifacts", killed)
        with pytest.raises(Killed):
            pushed(server, runs_dir)
    again = pushed(server, runs_dir)
    assert [how for _, how in again] == ["completed", "sent"]
    (history,) = server.client.get_metric_history(again[0][0], "val/loss")
    assert history.value == 0.5
    assert server.client.get_run(again[0][0]).info.status == "FINISHED"


def test_an_unset_variable_is_not_a_folder(runs_dir: Path) -> None:
    done = CliRunner().invoke(app, ["runs", "push", "", "cv", "--runs-dir", str(runs_dir)])
    assert done.exit_code == 2
    assert "is empty" in done.stderr


def test_an_address_with_one_slash_is_not_a_folder(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["runs", "push", "http:/host:5000", "cv", "--runs-dir", str(runs_dir)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "is neither the address of a store nor a folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
