import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from toy_runs import new_run

from dlcli.cross_validation.children import families
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.liveness import ACTIVE_DIR, RunLock, entries
from dlcli.tracking.mlflow_tags import TOKEN_TAG
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store
from tests.forked import FORKS
from tests.store_kills import half_made


def status(store: Store, run_dir: Path) -> tuple[str, str]:
    """Return the status in the ledger and in MLflow."""
    ledger = Ledger.load(run_dir)
    return ledger.status, store.client.get_run(ledger.run_id).info.status


def abandon(store: Store, **changes: object) -> Path:
    """A run whose process has ended without recording that."""
    run_dir = new_run(store, **changes)
    store.close()
    return run_dir


def test_a_run_that_somebody_holds_is_left_alone(store: Store) -> None:
    run_dir = new_run(store)
    assert reconcile(store.runs_dir, store) == []
    assert status(store, run_dir) == ("SCHEDULED", "SCHEDULED")
    with Recorder(run_dir):
        assert reconcile(store.runs_dir, store) == []
        assert Ledger.load(run_dir).status == "RUNNING"


def test_an_abandoned_run_is_killed(store: Store) -> None:
    run_dir = abandon(store, run_name="toy-1")
    (note,) = reconcile(store.runs_dir, store)
    assert "toy-1" in note
    assert status(store, run_dir) == ("KILLED", "KILLED")
    assert entries(store.runs_dir) == []
    assert reconcile(store.runs_dir, store) == []


def test_a_scheduled_child_belongs_to_its_living_parent(store: Store) -> None:
    sweep = new_run(store, kind="sweep")
    trial = new_run(store, kind="trial", parent_id=Ledger.load(sweep).run_id)
    fold = new_run(store, kind="fold", parent_id=Ledger.load(trial).run_id)
    assert reconcile(store.runs_dir, store) == []
    assert status(store, fold) == ("SCHEDULED", "SCHEDULED")
    store.close()
    assert len(reconcile(store.runs_dir, store)) == 3
    assert {status(store, run) for run in (sweep, trial, fold)} == {("KILLED", "KILLED")}


def test_a_running_child_whose_worker_is_gone_is_killed(store: Store) -> None:
    parent = new_run(store, kind="cv")
    fold = new_run(store, kind="fold", parent_id=Ledger.load(parent).run_id)
    Ledger.load(fold).update(status="RUNNING")
    reconcile(store.runs_dir, store)
    assert status(store, fold) == ("KILLED", "KILLED")
    assert status(store, parent) == ("SCHEDULED", "SCHEDULED")


def test_runs_that_mlflow_lacks_are_sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._GRACE", 0.0)
    run_dir = new_run(store)
    ledger = Ledger.load(run_dir)
    right = ledger.tracking_uri
    ledger.update(tracking_uri="http://127.0.0.1:9")
    with Recorder(run_dir) as recorder:
        recorder.log({"a": 1}, 0)
        recorder.tag("x", "y")
    store.close()
    reconcile(store.runs_dir, store)  # does not fail while the store is unavailable
    assert len(entries(store.runs_dir)) == 1
    Ledger.load(run_dir).update(tracking_uri=right)
    assert reconcile(store.runs_dir, store) == []
    run = store.client.get_run(ledger.run_id)
    assert (run.info.status, run.data.metrics["a"], run.data.tags["x"]) == ("FINISHED", 1.0, "y")
    assert entries(store.runs_dir) == []


def test_a_kill_before_the_mlflow_run_leaves_nothing(store: Store) -> None:
    about = {"tracking_uri": None, "experiment": "exp", "run_name": "x", "parent_id": None}
    RunLock.hold(store.runs_dir, "t-early", about).release()
    assert reconcile(store.runs_dir, store) == []
    assert entries(store.runs_dir) == []


def test_a_kill_between_the_mlflow_run_and_the_ledger(store: Store) -> None:
    experiment = store.client.get_run(Ledger.load(new_run(store)).run_id).info.experiment_id
    run = store.client.create_run(experiment, tags={TOKEN_TAG: "t-between"})
    about = {"tracking_uri": None, "experiment": "exp", "run_name": "x", "parent_id": None}
    RunLock.hold(store.runs_dir, "t-between", about).release()
    reconcile(store.runs_dir, store)
    assert store.client.get_run(run.info.run_id).info.status == "KILLED"
    assert not (store.runs_dir / ACTIVE_DIR / "t-between").exists()


@pytest.mark.parametrize("moment", ["write_new", "enter", "noting", "Ledger.update"])
def test_a_kill_while_a_child_is_made_leaves_none_to_be_found(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    sweep = Ledger.load(new_run(store, kind="sweep", run_name=f"killed at {moment}"))
    trial = {"kind": "trial", "parent_id": sweep.run_id, "tags": {"dlcli.place": "trial 0"}}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"dlcli.tracking.store.{moment}", killed)
        with pytest.raises(KeyboardInterrupt):
            new_run(store, **trial, files={"trial.json": "{}"})
    reconcile(store.runs_dir, store)
    assert sweep.run_id not in families(sweep)
    only = f"tags.`mlflow.parentRunId` = '{sweep.run_id}'"
    experiment = store.client.get_run(sweep.run_id).info.experiment_id
    statuses = [run.info.status for run in store.client.search_runs([experiment], only)]
    assert statuses == ([] if moment != "Ledger.update" else ["KILLED"])
    again = new_run(store, **trial, files={"trial.json": "{}"})
    assert families(sweep)[sweep.run_id] == {"trial 0": again}


def test_a_kill_between_the_ledger_and_its_mention(store: Store) -> None:
    run_dir = abandon(store)
    path = store.runs_dir / ACTIVE_DIR / Ledger.load(run_dir).token
    path.write_text(path.read_text().splitlines()[0] + "\n")
    reconcile(store.runs_dir, store)
    assert status(store, run_dir) == ("KILLED", "KILLED")
    assert entries(store.runs_dir) == []


def test_deleted_runs_are_no_longer_asked_for(store: Store) -> None:
    import shutil

    in_mlflow, on_disk = new_run(store), new_run(store)
    store.close()
    store.client.delete_run(Ledger.load(in_mlflow).run_id)
    run_id = Ledger.load(on_disk).run_id
    shutil.rmtree(on_disk)
    reconcile(store.runs_dir, store)
    assert entries(store.runs_dir) == []
    assert store.client.get_run(run_id).info.status == "KILLED"


def test_a_runs_folder_that_is_not_there_is_fine(tmp_path: Path) -> None:
    assert reconcile(tmp_path / "none") == []


def record(runs_dir: Path, at_the_end: Callable[[Path], object]) -> None:
    files = {"config.yaml": "a: 1\n", "code/m.py": ""}
    with open_store(runs_dir) as store:
        run_dir = store.create_run(
            experiment="exp", run_name="victim", kind="run", params={}, tags={}, files=files
        )
        with Recorder(run_dir) as recorder:
            for epoch in range(50):
                recorder.log({"a": epoch}, epoch)
            at_the_end(run_dir)


def record_and_stay(runs_dir: Path, channel: Connection) -> None:
    record(runs_dir, lambda run_dir: (channel.send(run_dir), channel.recv()))


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_is_marked_as_killed(store: Store) -> None:
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=record_and_stay, args=(store.runs_dir, theirs))
    process.start()
    run_dir = ours.recv()
    assert reconcile(store.runs_dir, store) == []  # the run is alive
    process.kill()
    process.join()
    ours.close()
    theirs.close()
    (note,) = reconcile(store.runs_dir)
    assert "victim" in note
    assert status(store, run_dir) == ("KILLED", "KILLED")
    ledger = Ledger.load(run_dir)
    assert ledger.started_at is not None
    assert ledger.ended_at is not None
    assert ledger.started_at <= ledger.ended_at
    history = store.client.get_metric_history(ledger.run_id, "a")
    assert [m.step for m in history] == list(range(50))
    assert not (run_dir.parent / ".reserve").exists()
    assert entries(store.runs_dir) == []


def record_until(runs_dir: Path, moment: int) -> None:
    """Record a run, and kill the process at its n-th system call."""
    calls = count(1)

    def die(event: str, arguments: tuple[object, ...]) -> None:
        if event in (
            "open",
            "os.rename",
            "sqlite3.connect",
            "fcntl.flock",
            "os.mkdir",
            "os.remove",
            "os.truncate",
        ):
            path = str(arguments[0]) if arguments else ""
            theirs = event != "open" or str(runs_dir) in path or ".active" in path
            if theirs and next(calls) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    open_store(runs_dir)
    sys.addaudithook(die)
    record(runs_dir, lambda run_dir: None)


@pytest.mark.slow
def test_kills_at_any_moment_leave_no_run_open_and_nothing_half_made(tmp_path: Path) -> None:
    """Killed after more and more system calls: while it creates its run, starts, records, or ends."""
    with open_store(tmp_path) as store:
        pass
    outcomes = []
    for moment in count(1, 9):
        process = FORKS.Process(target=record_until, args=(tmp_path, moment))
        process.start()
        process.join()
        outcomes.append(process.exitcode)
        reconcile(tmp_path, store)
        assert entries(tmp_path) == [], moment
        ids = [experiment.experiment_id for experiment in store.client.search_experiments()]
        for run in store.client.search_runs(ids):
            assert run.info.status in ("KILLED", "FINISHED"), moment
            folder = tmp_path / "exp" / run.info.run_id / "artifacts"
            if (folder / LEDGER_FILE).exists():  # otherwise it was killed before there was one
                assert Ledger.load(folder).status == run.info.status, moment
        assert half_made(tmp_path) == [], moment
        if process.exitcode == 0:
            break
    assert outcomes[0] == -signal.SIGKILL
    assert len(outcomes) > 3
