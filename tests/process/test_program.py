"""A program ends with its exit status, its complete output, and the exit handlers of libraries."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ENDLESS, epochs, wait_until

PROGRAM = """
import atexit, sys, threading
from dlcli.process.program import run_program

def main():
    atexit.register(print, "tidied up")
    threading.Thread(target=lambda: (release.wait(), print("the thread is done"))).start()
    print("said")
    release.set()
    {ending}

release = threading.Event()
run_program(main)
"""


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        ("pass", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('no rows')", 1, "no rows"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_it_ends_in_order(ending: str, status: int, told: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert sorted(ended.stdout.splitlines()) == ["said", "the thread is done", "tidied up"]
    assert ended.returncode == status
    assert told in ended.stderr


@pytest.mark.parametrize(("word", "status"), [("--version", 0), ("trian", 2)])
def test_dlcli_runs_as_its_own_program(word: str, status: int) -> None:
    command = [sys.executable, "-m", "dlcli", word]
    assert subprocess.run(command, capture_output=True, check=False).returncode == status


@pytest.mark.slow
def test_ctrl_c_ends_dlcli_in_order(tmp_path: Path) -> None:
    """Started from scratch, whereas processes of other tests are forked."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dlcli", "train", *ENDLESS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: epochs(tmp_path / "runs") > 0, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "dlcli resume" in err


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_lost_output_is_not_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = "from dlcli.process.program import run_program; run_program(lambda: print('said'))"
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 120


CLOSED = """
import os, sys
from pathlib import Path
from dlcli.process.program import open_closed_streams

open_closed_streams()
with Path(sys.argv[1]).open("w") as file:
    os.write(1, b"said by a library")
    print("said", file=sys.stderr)
    os.system("echo said by another process")
    file.write(f"{file.fileno() > 2} {sys.stdin.read()!r} {sys.stdout.isatty()}")
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_file_is_never_opened_in_place_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", CLOSED, str(tmp_path / "file")]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == "True '' False"
