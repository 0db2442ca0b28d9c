import socket
import subprocess
import sys
from pathlib import Path

import pytest
from toy_runs import new_run

from dlcli.errors import InputError, StoreError
from dlcli.tracking.connection import URI_VARIABLE
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries
from dlcli.tracking.mlflow_inputs import DatasetRecord, flatten
from dlcli.tracking.places import folder_name
from dlcli.tracking.store import Store, make_run_name, open_store


def test_the_folder_of_a_run_is_its_artifact_folder(store: Store) -> None:
    run_dir = new_run(store)
    ledger = Ledger.load(run_dir)
    assert run_dir == store.runs_dir / "exp" / ledger.run_id / "artifacts"
    assert ledger.artifact_uri is None
    (run_dir / "x.txt").write_text("x")
    assert "x.txt" in [file.path for file in store.client.list_artifacts(ledger.run_id)]
    assert store.client.get_run(ledger.run_id).info.status == ledger.status == "SCHEDULED"


def test_params_are_flat_complete_and_without_secrets(store: Store) -> None:
    params = {"model": {"width": 3, "layers": {}}, "password": "hunter2", "long": "x" * 9000}
    many = {f"p{i}": i for i in range(250)}
    run_id = Ledger.load(new_run(store, params={**params, **many})).run_id
    recorded = store.client.get_run(run_id).data.params
    assert recorded["model.width"] == "3"
    assert recorded["model.layers"] == "{}"
    assert recorded["password"] == "***"
    assert len(recorded["long"]) == 6000
    assert recorded["long"].endswith("(cut)")
    assert recorded["p249"] == "249"


def test_tags_kind_and_parent(store: Store) -> None:
    parent = Ledger.load(new_run(store, kind="cv", tags={"dlcli.seed": "1"}))
    child = Ledger.load(new_run(store, kind="fold", parent_id=parent.run_id))
    tags = store.client.get_run(child.run_id).data.tags
    assert (tags["dlcli.kind"], tags["mlflow.parentRunId"]) == ("fold", parent.run_id)
    assert store.client.get_run(parent.run_id).data.tags["dlcli.seed"] == "1"


def test_the_data_is_an_input_of_the_run(store: Store) -> None:
    data = [
        DatasetRecord("digits", "abc-train", "sklearn", profile={"rows": 3}),
        DatasetRecord("digits", "abc-test", "sklearn", context="testing"),
    ]
    run_id = Ledger.load(new_run(store, datasets=data)).run_id
    found = store.client.get_run(run_id).inputs
    assert found is not None
    inputs = found.dataset_inputs
    assert {(i.dataset.digest, i.tags[0].value) for i in inputs} == {
        ("abc-train", "training"),
        ("abc-test", "testing"),
    }
    assert inputs[0].dataset.profile == '{"rows": 3}'


def test_files_for_the_job_lie_in_the_folder(store: Store) -> None:
    run_dir = new_run(store, files={"config.yaml": "seed: 1\n", "code/mine.py": b"x = 1\n"})
    assert (run_dir / "config.yaml").read_text() == "seed: 1\n"
    assert (run_dir / "code" / "mine.py").read_bytes() == b"x = 1\n"


def test_run_names_tell_siblings_apart() -> None:
    names = {make_run_name("cnn-digits") for _ in range(20)}
    assert len(names) > 15
    assert all(name.startswith("cnn-digits-") for name in names)


def test_nested_settings_become_parameters_with_points() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}}, "d": [1, 2]})) == {"a.b.c": "1", "d": "[1, 2]"}


def test_safe_experiment_names_are_folders_as_they_are() -> None:
    assert folder_name("digits") == "digits"
    assert folder_name("my-exp_2.1") == "my-exp_2.1"


def test_odd_experiment_names_become_safe_and_distinct_folders() -> None:
    odd = ["a/b", "a_b", "a b", "../up", "..", ".active", "/", "ü/ß", "mlflow.db", "x" * 300, "a\nb"]
    folders = [folder_name(name) for name in odd]
    assert len(set(folders)) == len(odd)
    for folder in folders:
        assert "/" not in folder
        assert not folder.startswith(".")
        assert len(folder) < 120


def test_a_run_of_an_experiment_with_slashes(store: Store) -> None:
    run_dir = new_run(store, experiment="team/exp #1 50%")
    assert run_dir.parent.parent.parent == store.runs_dir
    run = store.client.get_run(Ledger.load(run_dir).run_id)
    assert store.client.get_experiment(run.info.experiment_id).name == "team/exp #1 50%"
    (run_dir / "x.txt").write_text("x")
    assert "x.txt" in [file.path for file in store.client.list_artifacts(run.info.run_id)]


@pytest.mark.parametrize("place", ["file:///elsewhere", "s3://bucket"])
def test_the_runs_folder_keeps_its_runs_wherever_its_store_has_the_experiment(
    store: Store, place: str
) -> None:
    store.client.create_experiment(place, artifact_location=place)
    run_dir = new_run(store, experiment=place)
    assert run_dir.is_relative_to(store.runs_dir)
    info = store.client.get_run(Ledger.load(run_dir).run_id).info
    assert (info.artifact_uri, Ledger.load(run_dir).artifact_uri) == (run_dir.as_uri(), None)


def test_a_deleted_experiment_is_named(store: Store) -> None:
    run = store.client.get_run(Ledger.load(new_run(store, experiment="gone")).run_id)
    store.client.delete_experiment(run.info.experiment_id)
    with open_store(store.runs_dir) as fresh, pytest.raises(StoreError, match="'gone' is deleted"):
        new_run(fresh, experiment="gone")


def test_a_run_that_cannot_have_its_folder_leaves_nothing(store: Store) -> None:
    (store.runs_dir / "blocked").touch()
    before = entries(store.runs_dir)
    with pytest.raises(InputError, match="cannot write"):
        new_run(store, experiment="blocked")
    assert store.client.get_experiment_by_name("blocked") is None
    assert entries(store.runs_dir) == before


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "localhost:5000"])
def test_stores_that_mlflow_no_longer_takes_are_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        open_store(tmp_path, uri)


def test_a_server_that_is_not_there_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv(URI_VARIABLE, f"http://me:hunter2@127.0.0.1:{port}")
    with pytest.raises(StoreError, match="does not answer") as caught:
        open_store(tmp_path)  # MLflow alone would retry for minutes, longer than a test may take
    assert "hunter2" not in str(caught.value)
    assert str(port) in caught.value.problems[0].where


@pytest.mark.slow
def test_a_server_that_accepts_but_does_not_answer_is_detected_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(StoreError, match="does not answer"):
            open_store(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # tried once, whereas MLflow alone would retry
            silent.accept()


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreError, match="damaged"):
        open_store(tmp_path)


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        open_store(tmp_path / "file" / "runs")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with space #1", "50%41 q?x=1"])
def test_odd_characters_in_the_runs_folder(tmp_path: Path, name: str) -> None:
    with open_store(tmp_path / name) as store:
        run_dir = new_run(store)
        assert run_dir.is_relative_to(tmp_path / name)
        assert (tmp_path / name / "mlflow.db").stat().st_size > 0
        (run_dir / "x.txt").write_text("x")
        run_id = Ledger.load(run_dir).run_id
        assert "x.txt" in [file.path for file in store.client.list_artifacts(run_id)]


@pytest.mark.slow
def test_sixteen_processes_on_one_fresh_store(tmp_path: Path) -> None:
    # Forked after the imports, all processes open the store at the same moment.
    code = """
import os, sys
from pathlib import Path
from dlcli.tracking.connection import load_mlflow
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import make_run_name, open_store
load_mlflow("sqlite:///")
children = []
for _ in range(16):
    child = os.fork()
    if child:
        children.append(child)
        continue
    with open_store(Path(sys.argv[1])) as store:
        reconcile(store.runs_dir, store)
        run_dir = store.create_run(experiment="new", run_name=make_run_name("x"), kind="run", params={}, tags={})
        with Recorder(run_dir) as recorder:
            for epoch in range(20):
                recorder.log({"a": epoch}, epoch)
    os._exit(0)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    with open_store(tmp_path) as store:
        experiment = store.client.get_experiment_by_name("new")
        assert experiment is not None
        runs = store.client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * 16
        for run in runs:
            assert len(store.client.get_metric_history(run.info.run_id, "a")) == 20
    assert entries(tmp_path) == []
