import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from toy_runs import new_run

import dlcli
from dlcli import job
from dlcli.errors import Interrupted
from dlcli.events import EpochDone, Event, Listener
from dlcli.runs.deletion import delete, plan_deletion, plan_restoration, restore
from dlcli.runs.find import find_run
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries
from dlcli.tracking.projection import Projection
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store

pytestmark = pytest.mark.slow


class Server:
    """A real `mlflow server` with its own artifact store, which can be stopped and restarted."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        backend = ["--backend-store-uri", f"sqlite:///{self._folder}/server.db"]
        artifacts = ["--artifacts-destination", f"{self._folder}/artifacts", "--serve-artifacts"]
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", *backend, *artifacts, *place]
        environment = {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def remote(running: Server, tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "runs", running.uri) as store:
        yield store


def values(store: Store, run_dir: Path, metric: str) -> list[tuple[int, float]]:
    history = store.client.get_metric_history(Ledger.load(run_dir).run_id, metric)
    return [(m.step, m.value) for m in history]


def test_the_record_on_a_server(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir = new_run(remote, params={"a": 1}, run_name="on-server")
    assert run_dir.is_relative_to(tmp_path / "runs" / "exp")
    with Recorder(run_dir) as recorder:
        (run_dir / "plots").mkdir()
        (run_dir / "plots" / "curve.txt").write_text("a curve")
        recorder.log({"a": 1}, 0)
        recorder.finish({"test/accuracy": 0.5})
    ledger = Ledger.load(run_dir)
    run = remote.client.get_run(ledger.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": "1"}
    assert run.data.metrics["test/accuracy"] == 0.5
    assert "dlcli.heartbeat" in run.data.tags
    assert "ledger.json" in [file.path for file in remote.client.list_artifacts(ledger.run_id)]
    assert entries(remote.runs_dir) == []
    assert capfd.readouterr().out == ""  # stdout belongs to the command

    # Another machine, without the run's folder.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", remote.uri)
    for ref in (ledger.run_id, ledger.run_id[:8], "on-server"):
        found = find_run(ref, tmp_path / ref)
        assert found.run_dir == tmp_path / ref / "exp" / ledger.run_id / "artifacts"
        assert (found.run_dir / "plots" / "curve.txt").read_text() == "a curve"
        assert Ledger.load(found.run_dir).status == "FINISHED"


def test_the_model_of_a_deleted_run_is_deleted_and_comes_back(remote: Store) -> None:
    run_dir = new_run(remote)
    (run_dir / "model").mkdir()
    (run_dir / "model" / "MLmodel").write_text("flavors: {}\n")
    with Recorder(run_dir) as recorder:
        recorder.finish({"test/accuracy": 0.5})
    ledger = Ledger.load(run_dir)

    def models() -> list[str]:
        experiment_id = remote.client.get_run(ledger.run_id).info.experiment_id
        found = remote.client.search_logged_models([experiment_id], f"source_run_id = '{ledger.run_id}'")
        return [str(model.status) for model in found]

    assert models() == ["READY"]
    now = datetime.now(UTC)
    assert delete(plan_deletion([ledger.run_id], None, remote.runs_dir, now, force=False)) == []
    assert models() == []
    assert restore(plan_restoration([ledger.run_id], remote.runs_dir, now)) == []
    assert models() == ["READY"]


def test_a_server_that_is_unavailable_during_a_part_of_a_run(
    running: Server, remote: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._INTERVAL", 0.05)
    run_dir = new_run(remote)
    askers: list[str] = []
    push = Projection.push
    monkeypatch.setattr(
        Projection, "push", lambda self: askers.append(threading.current_thread().name) or push(self)
    )
    with caplog.at_level(logging.INFO, "dlcli.tracking"), Recorder(run_dir) as recorder:
        recorder.log({"a": 0}, 0)
        wait_until(lambda: values(remote, run_dir, "a") == [(0, 0.0)])
        running.stop()
        recorder.log({"a": 1}, 1)
        wait_until(lambda: "MLflow is not up to date" in caplog.text)
        running.start()
        recorder.log({"a": 2}, 2)
    assert set(askers) == {"dlcli-projector"}  # training does not wait
    assert caplog.text.count("MLflow is not up to date") == 1
    assert values(remote, run_dir, "a") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert remote.client.get_run(Ledger.load(run_dir).run_id).info.status == "FINISHED"
    assert entries(remote.runs_dir) == []


def test_a_server_that_is_back_only_later(
    running: Server, remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._GRACE", 0.5)
    run_dir = new_run(remote)
    with Recorder(run_dir) as recorder:
        recorder.log({"a": 0}, 0)
        running.stop()
        recorder.log({"a": 1}, 1)
        recorder.finish({"test/accuracy": 0.5})
    remote.close()
    assert Ledger.load(run_dir).status == "FINISHED"
    assert reconcile(remote.runs_dir) == []  # still unavailable: no error, nothing lost
    assert len(entries(remote.runs_dir)) == 1
    running.start()
    reconcile(remote.runs_dir)
    run = remote.client.get_run(Ledger.load(run_dir).run_id)
    assert (run.info.status, run.data.metrics["test/accuracy"]) == ("FINISHED", 0.5)
    assert values(remote, run_dir, "a") == [(0, 0.0), (1, 1.0)]
    assert entries(remote.runs_dir) == []


def test_a_stopped_cross_validation_resumes_with_the_same_runs(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    original, done = job._record, []

    def stop(recorder: Recorder, listen: Listener, event: Event) -> None:
        original(recorder, listen, event)
        if isinstance(event, EpochDone):
            done.append(event.epoch)
            if len(done) == 5:
                raise Interrupted(signal.SIGTERM)

    asked = ["dataset=iris", "model=mlp", "trainer.max_epochs=3", "cv=kfold", "cv.folds=3", "callbacks=none"]
    with monkeypatch.context() as patch:
        patch.setattr(job, "_record", stop)
        with pytest.raises(Interrupted):
            dlcli.train([*asked, f"runs_dir='{tmp_path}'", "run_name=stopped", "trainer.accelerator=cpu"])
    resumed = dlcli.resume("stopped", runs_dir=tmp_path)
    assert resumed.status == "FINISHED"
    client = MlflowClient(running.uri)
    parent = client.get_run(resumed.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["cv/accuracy_mean"] == resumed.metrics["cv/accuracy_mean"]
    folds = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{resumed.run_id}'")
    assert {fold.info.status for fold in folds} == {"FINISHED"}
    assert {fold.info.run_id for fold in folds} == {fold.run_id for fold in resumed.folds}
    for fold in resumed.folds:
        assert [m.step for m in client.get_metric_history(fold.run_id, "val/loss")] == [1, 2, 3]


def test_a_run_of_a_machine_that_has_long_been_silent_is_killed(remote: Store) -> None:
    silent, alive = (Ledger.load(new_run(remote)).run_id for _ in range(2))
    remote.close()
    for entry in entries(remote.runs_dir):
        entry.unlink()  # as on another machine, which has none
    for run_id, beat in ((silent, time.time() - 3600), (alive, time.time())):
        remote.client.update_run(run_id, status="RUNNING")
        remote.client.set_tag(run_id, "dlcli.heartbeat", str(int(beat)))
    reconcile(remote.runs_dir, remote)
    assert remote.client.get_run(silent).info.status == "KILLED"
    assert remote.client.get_run(alive).info.status == "RUNNING"


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 60
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
