import logging
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, get_ident

import pytest

from dlcli.errors import DiskFull, Diverged, InputError, Interrupted
from dlcli.tracking.history import read_history
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries
from dlcli.tracking.projection import Projection
from dlcli.tracking.projector import Projector
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store
from dlcli.tracking.system_metrics import _Machine


def steps(store: Store, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store.client.get_metric_history(run_id, metric)]


def test_a_finished_run_has_its_metrics_in_ledger_and_store(store: Store, run_dir: Path) -> None:
    with Recorder(run_dir) as recorder:
        assert Ledger.load(run_dir).status == "RUNNING"
        for epoch in range(3):
            recorder.log({"train/loss": 1 / (epoch + 1), "val/loss": math.nan}, epoch)
        recorder.tag("dlcli.diagnosis", "fine")
        recorder.finish({"test/accuracy": 0.5, "train/loss": 0.1})
    ledger = Ledger.load(run_dir)
    assert ledger.status == "FINISHED"
    assert ledger.metrics == {"test/accuracy": 0.5, "train/loss": 0.1}
    run = store.client.get_run(ledger.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.data.tags["dlcli.diagnosis"] == "fine"
    assert steps(store, ledger.run_id, "train/loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert steps(store, ledger.run_id, "test/accuracy") == [(2, 0.5)]
    assert math.isnan(run.data.metrics["val/loss"])
    assert not (run_dir.parent / ".reserve").exists()
    assert ledger.token not in [path.name for path in entries(store.runs_dir)]


def test_a_run_that_takes_long_enough_has_system_metrics(
    store: Store, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = Event()
    read = _Machine.read
    monkeypatch.setattr("dlcli.tracking.system_metrics._INTERVAL", 0.01)
    monkeypatch.setattr(_Machine, "read", lambda machine: (read(machine), sampled.set())[0])
    with Recorder(run_dir):
        assert sampled.wait(60)
    metrics = store.client.get_run(Ledger.load(run_dir).run_id).data.metrics
    assert "system/cpu_utilization_percentage" in metrics
    assert "system/system_memory_usage_megabytes" in metrics


def test_system_metrics_can_be_left_out(run_dir: Path) -> None:
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({"a": 1}, 0)
    assert [line.metrics for line in read_history(run_dir)] == [{"a": 1.0}]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad shape; password=hunter2"), "ValueError: bad shape; password=***"),
        (Diverged("the loss is NaN", "epoch 3"), "epoch 3: the loss is NaN"),
    ],
)
def test_an_exception_marks_the_run_failed_and_is_raised(
    store: Store, run_dir: Path, error: Exception, reason: str
) -> None:
    with pytest.raises(type(error)) as caught, Recorder(run_dir) as recorder:
        recorder.log({"a": 1}, 0)
        raise error
    assert caught.value is error
    ledger = Ledger.load(run_dir)
    run = store.client.get_run(ledger.run_id)
    assert run.info.status == ledger.status == "FAILED"
    assert run.data.tags["dlcli.error"] == ledger.error
    assert (ledger.error or "").partition(" (/")[0] == reason  # the place in own code follows
    text = (run_dir / "error.txt").read_text()
    assert "test_recorder.py" in text
    assert "hunter2" not in text
    assert steps(store, ledger.run_id, "a") == [(0, 1.0)]


@pytest.mark.parametrize("signal", [Interrupted(15), KeyboardInterrupt()])
def test_an_interruption_marks_the_run_killed_and_is_raised(
    store: Store, run_dir: Path, signal: BaseException
) -> None:
    with pytest.raises(type(signal)), Recorder(run_dir):
        raise signal
    ledger = Ledger.load(run_dir)
    assert store.client.get_run(ledger.run_id).info.status == ledger.status == "KILLED"
    assert ledger.error is None
    assert not (run_dir / "error.txt").exists()


def test_a_resumed_run_records_nothing_twice(store: Store, run_dir: Path) -> None:
    with pytest.raises(ValueError, match="x"), Recorder(run_dir) as recorder:
        recorder.log({"a": 0}, 0)
        recorder.log({"a": 1}, 1)
        raise ValueError("x")
    with Recorder(run_dir) as recorder:
        recorder.log({"a": 100}, 1)
        recorder.log({"a": 2}, 2)
    ledger = Ledger.load(run_dir)
    assert steps(store, ledger.run_id, "a") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert (ledger.status, ledger.error) == ("FINISHED", None)
    assert not store.client.get_run(ledger.run_id).data.tags["dlcli.error"]
    assert not (run_dir / "error.txt").exists()


def test_two_processes_do_not_record_one_run(store: Store, run_dir: Path) -> None:
    with Recorder(run_dir):
        with pytest.raises(InputError, match="another process is recording"):
            Recorder(run_dir).__enter__()
        assert Ledger.load(run_dir).status == "RUNNING"
    assert Ledger.load(run_dir).status == "FINISHED"


def test_a_push_that_is_repeated_leaves_one_entry(store: Store, run_dir: Path) -> None:
    with Recorder(run_dir) as recorder:
        recorder.log({"a": 1, "b": math.nan}, 0)
    ledger = Ledger.load(run_dir)
    # As if it had been killed after sending the batch and before recording that; the run is resumed.
    ledger.update(projected={**ledger.projected, "offset": 0})
    with Recorder(run_dir) as recorder:
        recorder.log({"a": 2}, 1)
    assert steps(store, ledger.run_id, "a") == [(0, 1.0), (1, 2.0)]
    assert len(steps(store, ledger.run_id, "b")) == 1


def test_more_metrics_than_fit_into_one_call(store: Store, run_dir: Path) -> None:
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({f"m{i}": i for i in range(2500)}, 0)
        for step in range(1, 1500):
            recorder.log({"a": step}, step)
    run_id = Ledger.load(run_dir).run_id
    assert len(store.client.get_run(run_id).data.metrics) == 2501
    assert len(steps(store, run_id, "a")) == 1499


def test_a_store_that_fails_costs_a_warning_and_no_result(
    store: Store, run_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._GRACE", 0.0)
    ledger = Ledger.load(run_dir)
    ledger.update(tracking_uri="http://127.0.0.1:9")  # no server answers there
    with caplog.at_level(logging.WARNING, "dlcli"), Recorder(run_dir) as recorder:
        recorder.log({"a": 1}, 0)
    assert {record.name for record in caplog.records} == {"dlcli.tracking.projector"}
    assert caplog.text.count("MLflow is not up to date") <= 1  # none if the run ends before the first attempt
    assert caplog.messages[-1].startswith("MLflow lacks a part of this run: http://127.0.0.1:9")
    assert Ledger.load(run_dir).status == "FINISHED"
    assert ledger.token in [path.name for path in entries(store.runs_dir)]


def test_child_runs_that_end_together_wait_once_for_a_store_that_fails(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._GRACE", 0.0)
    monkeypatch.setattr("dlcli.tracking.projector._gave_up", {})
    attempts: list[bool] = []

    class Unanswered(Projector):
        def _attempt(self, *, last: bool) -> bool:
            attempts.append(last)
            self._projection, self._last_error = Projection(self._ledger), OSError()
            return False

    Ledger.load(run_dir).update(parent_id="0" * 32)
    for _ in range(3):
        projector = Unanswered(Ledger.load(run_dir))
        projector._attempt(last=False)
        projector._over.set()
        projector.run()
    assert attempts == [False, True, False, False]


def test_runs_that_are_trained_together_push_less_often(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class OverAfterAPush(Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return len(waits) % 2 == 0

    projector = Projector(Ledger.load(run_dir))
    monkeypatch.setattr(projector, "_over", OverAfterAPush())
    projector.run()
    others = {Projector(Ledger.load(run_dir)) for _ in range(31)}
    monkeypatch.setattr("dlcli.tracking.projector._running", others)
    projector.run()
    assert waits == [0, 2, 0, 16]


def test_a_job_that_is_not_continued_is_recorded_as_killed(run_dir: Path) -> None:
    def job() -> Iterator[None]:
        with Recorder(run_dir):
            yield

    running = job()
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert Ledger.load(run_dir).status == "KILLED"


def test_the_work_of_a_step_is_small_and_does_not_grow(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[
        int
    ] = []  # with the thread, since a slow machine gives the thread that updates MLflow time to write
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(get_ident()) or write(fd, data))
    calls: list[int] = []
    with Recorder(run_dir, system_metrics=False) as recorder:
        writes.clear()
        for epoch in range(100):
            figures = {f"m{i}": float(epoch * i) for i in range(5)}
            calls.append(0)
            sys.setprofile(lambda frame, event, argument: calls.__setitem__(-1, calls[-1] + 1))
            try:
                recorder.log(figures, epoch)
            finally:
                sys.setprofile(None)
        assert writes.count(get_ident()) == 100  # one for each step, and none to the ledger
    assert min(calls[50:]) == min(calls[1:50])  # a collection of garbage may add some
    assert min(calls) < 300  # calls and returns; 175 when this was written


def test_no_thread_writes_after_an_end_that_could_not_be_written(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("no space left", str(run_dir))

    recorder = Recorder(run_dir)
    monkeypatch.setattr(recorder, "_write_end", full)
    with pytest.raises(DiskFull), recorder:
        pass
    assert not recorder._projector.is_alive()
    assert recorder._sampler is not None
    assert not recorder._sampler.is_alive()
    assert Ledger.load(run_dir).token in [path.name for path in entries(recorder.ledger.runs_dir)]


def test_a_run_starts_with_the_record_under_its_lock(run_dir: Path) -> None:
    recorder = Recorder(run_dir, system_metrics=False)
    Ledger.load(run_dir).add_tags({"other": "command"})
    with recorder:
        pass
    assert Ledger.load(run_dir).tags["other"] == "command"
