import os
import subprocess
import sys
from pathlib import Path

from dlcli.tracking.liveness import ACTIVE_DIR, RunLock, entries, read_entry


def test_an_entry_that_is_held_is_not_taken_over(tmp_path: Path) -> None:
    driver, worker = (RunLock.hold(tmp_path, "t1", {"a": 1}) for _ in range(2))
    assert RunLock.take_over(driver.path) is None
    driver.release()
    assert RunLock.take_over(driver.path) is None
    worker.release()
    taken = RunLock.take_over(driver.path)
    assert taken is not None
    taken.remove()
    assert entries(tmp_path) == []


def test_an_entry_is_extended(tmp_path: Path) -> None:
    entry = RunLock.hold(tmp_path, "t1", {"a": 1})
    entry.add({"b": 2})
    assert read_entry(entry.path) == {"token": "t1", "a": 1, "b": 2}
    with entry.path.open("ab") as file:
        file.write(b'{"torn": ')
    assert read_entry(entry.path) == {"token": "t1", "a": 1, "b": 2}
    entry.release()


def test_a_removed_entry_is_created_again(tmp_path: Path) -> None:
    first = RunLock.hold(tmp_path, "t1", {})
    first.path.unlink()
    second = RunLock.hold(tmp_path, "t1", {})
    first.release()
    assert RunLock.take_over(second.path) is None
    second.release()


def test_incomplete_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ACTIVE_DIR).mkdir()
    (tmp_path / ACTIVE_DIR / ".t1.123").touch()
    assert entries(tmp_path) == []
    assert list((tmp_path / ACTIVE_DIR).iterdir()) == []


def test_a_forked_child_keeps_no_run_alive(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from dlcli.tracking.liveness import RunLock
entry = RunLock.hold(Path(sys.argv[1]), "t1", {})
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(ready[1], b"x")
    os.close(1)
    sys.stdin.read()
    os._exit(0)
os.read(ready[0], 1)
os._exit(0)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == 0
        process.returncode = 0
        # The child, which waits for the end of its input, outlives its parent.
        taken = RunLock.take_over(tmp_path / ACTIVE_DIR / "t1")
        process.stdin.close()
    assert taken is not None
    taken.remove()
