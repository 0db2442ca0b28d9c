"""Waiting for a lock: the message names the holder, and a stopped holder is not waited for."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from dlcli.errors import StoreError
from dlcli.tracking import database, locks
from dlcli.tracking.database import locked_store
from dlcli.tracking.locks import holder_of, try_flock, wait_for_lock
from tests.processes import wait_until

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
input()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is Linux's")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the store's lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "mlflow.db.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process
        process.kill()


def test_a_process_that_holds_the_lock_too_long_is_named(
    holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 0.1)
    with (
        pytest.raises(StoreError, match=f"process {holder.pid} has locked the store") as told,
        locked_store(tmp_path / "mlflow.db"),
    ):
        pytest.fail("it is locked")
    assert told.value.problems[0].hint == f"Wait for it, or end it: kill {holder.pid}"
    holder.communicate(b"\n")
    with locked_store(tmp_path / "mlflow.db"):
        pass


def test_a_wait_is_reported_once(
    holder: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(locks, "_LOOK", 0.0)
    tries = iter([False, False, True])
    wait_for_lock(lambda: next(tries), tmp_path / "mlflow.db.lock", 60, "the store")
    assert caplog.messages == [f"Waiting for process {holder.pid}, which has locked the store."]


def test_commands_do_not_wait_for_a_stopped_process(
    holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LOOK", 0.0)
    holder.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_STOPPED)
    told = f"process {holder.pid}, which is stopped, has locked the store"
    with pytest.raises(StoreError, match=told) as error, locked_store(tmp_path / "mlflow.db"):
        pytest.fail("it is locked")
    assert f"kill -CONT {holder.pid}" in error.value.problems[0].hint


def test_a_lock_of_this_process_is_not_attributed_to_another_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path):
        assert holder_of(path) is None
    with path.open("w") as file:
        wait_for_lock(lambda: try_flock(file.fileno(), fcntl.LOCK_SH), path, 0, "it")
    assert holder_of(tmp_path / "nothing") is None
