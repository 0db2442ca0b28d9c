"""The supervising parent: forwarding, termination and reports, on small programs with few imports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from dlcli.process import supervision

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no parent")

PROGRAM = """
import os, signal, sys, time
from dlcli.errors import Interrupted
from dlcli.process import program, supervision
from dlcli.process.interrupts import interruptible

def main():
    ending = supervision.supervise(lambda text: print(text, file=sys.stderr))
    if ending is None:
        print(os.getpid(), flush=True)
        DOES
    elif ending.ended_normally:
        sys.exit(ending.code)
    else:
        print(ending.code, ending.why, ending.interrupted, flush=True)
        sys.exit(99)

program.run_program(main)
"""

WAITS = """
        try:
            with interruptible():
                print("ready", flush=True)
                time.sleep(100_000)
        except Interrupted as interrupt:
            time.sleep(0.1)
            print("in order", flush=True)
            sys.exit(interrupt.exit_code)
"""


@contextmanager
def running(does: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield the program, and the process ID of its child."""
    text = PROGRAM.replace("DOES", does.strip())
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return its output until its end: after a line was read, `communicate` would lose buffered output."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.read(), process.stderr.read()
    process.wait()
    return said


@pytest.mark.parametrize(
    ("does", "code", "told"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("os._exit(0)", 99, "0 None None"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 99, "-11 None None"),
        ("os.fork() or sys.exit(0); os.wait(); os._exit(7)", 99, "7 None None"),
        (
            "with supervision.limited('a.key', 0.1, 'too long'): time.sleep(100_000)",
            99,
            "-9 ('too long', 'a.key') None",
        ),
    ],
    ids=["done", "status", "os._exit", "fault", "a fork says no goodbye", "limit"],
)
def test_the_parent_ends_as_its_child_does(does: str, code: int, told: str) -> None:
    with running(does) as (process, _):
        out, err = rest(process)
    assert (process.returncode, out.strip(), err) == (code, told, "")


@pytest.mark.parametrize(
    "to", [["parent"], ["child"], ["child", "parent"], ["parent", "child"]], ids="-".join
)
def test_a_signal_is_handled_once_in_any_process(to: list[str]) -> None:
    with running(WAITS) as (process, child):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for whom in to:
            os.kill(process.pid if whom == "parent" else child, signal.SIGTERM)
        out, err = rest(process)
    assert (process.returncode, out, err) == (143, "in order\n", "")


def test_a_child_dies_with_its_parent() -> None:
    with running(WAITS) as (process, child):
        works = psutil.Process(child)
        process.kill()
    _, alive = psutil.wait_procs([works], timeout=60)
    assert not alive


def test_a_stopped_child_is_reported() -> None:
    with running("os.kill(os.getpid(), signal.SIGSTOP)") as (process, child):
        assert process.stderr is not None
        told = process.stderr.readline()
        assert re.fullmatch(rf"process {child} is stopped .*: kill -CONT {child}\n", told)
        os.kill(child, signal.SIGCONT)
        rest(process)
    assert process.returncode == 0


def test_a_parent_that_was_stopped_continues() -> None:
    with running(WAITS) as (process, _):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        parent = psutil.Process(process.pid)
        for _ in range(3):
            parent.suspend()
            time.sleep(2 * supervision._TICK)  # as long as a wait takes, not a wait for something
            parent.resume()
            while parent.status() != psutil.STATUS_SLEEPING:
                time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        out, err = rest(process)
    assert (process.returncode, out, err) == (143, "in order\n", "")
