"""A command that trains does so in a child process: its parent stays, to end what hangs and to say what is lost.

A process that a model ends with `os._exit`, or that a fault in C code or a lack of memory ends, says nothing. The
parent is forked before anything large is imported: it costs milliseconds, and takes no part in the work.

Signals are for the child. Ctrl-C at a terminal reaches both, and what is sent to the parent alone is passed on. One
that the child does not hear (its main thread is in a call that does not return) ends it after some seconds, and a
second one at once. The child dies with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.process import interrupts, program
from dlcli.process.lifeline import die_with

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PASSED_ON = (*STOPPING, signal.SIGUSR1, signal.SIGUSR2)

# Seconds for a child to hear a signal, and for one that has heard it to end in order. Pools keep to less.
_UNHEARD, _IN_ORDER = 8.0, 60.0

# Seconds between two looks at the child's messages, and looks after which it counts as stopped.
_TICK, _STOPPED = 0.5, 4

# Of a parent that has been stopped (Ctrl-Z), with its child: the time in between does not count.
_GAP = 5.0


@dataclass
class Ending:
    """How a child has ended.

    Attributes:
        pid: the child.
        code: its exit code, or minus the number of the signal that ended it.
        said_goodbye: whether it came to its own end.
        interrupted: the signal that it was asked to end by.
        why: of a child that this process has ended: what took too long, and by which key.
        run_dir: of the run that it recorded.
    """

    pid: int
    code: int = 0
    said_goodbye: bool = False
    interrupted: int | None = None
    why: tuple[str, str] | None = None
    run_dir: Path | None = None


def supervise(tell: Callable[[str], object]) -> Ending | None:
    """Go on in a child process, and return None there; here wait for it, and return how it ended.

    Meanwhile `tell` hears what a person should know. None, too, in a process that is nobody's program (a notebook, a
    test), or in which a debugger looks on.
    """
    global _line
    if not (program.is_running and _line is None and hasattr(signal, "sigtimedwait")) or sys.gettrace():
        return None
    heeded = {number for number in _PASSED_ON if signal.getsignal(number) != signal.SIG_IGN}
    on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the kernel would keep no exit code
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*heeded, signal.SIGCHLD})
    ours, theirs = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(theirs)
        try:
            return _Parent(pid, ours, heeded, tell).wait()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(ours)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if on_child is None else on_child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    die_with(parent)
    _line = _Line(theirs)
    program.farewell = partial(_line.say, goodbye=True)
    interrupts.on_signal = partial(_hear, _line)
    return None


def _hear(line: _Line, number: int) -> None:
    line.say(heard=int(number))


class _Line:
    """A child's pipe to its parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()

    def say(self, **message: Any) -> None:
        """Send a message; what this process forks sends none."""
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                os.write(self._fd, json.dumps(message).encode() + b"\n")


# None in a process that has no such parent.
_line: _Line | None = None


def is_supervised() -> bool:
    """Whether a parent waits for this process."""
    return _line is not None


def records(run_dir: Path) -> None:
    """Tell the parent which run this process records."""
    if _line is not None:
        _line.say(run_dir=str(run_dir))


@contextlib.contextmanager
def limited(key: str, seconds: float, message: str) -> Iterator[None]:
    """Have the parent, if there is one, end this process when what is within takes longer, and say `message`."""
    if _line is None:
        yield
        return
    _line.say(limit=key, seconds=seconds, message=message)
    try:
        yield
    finally:
        _line.say(limit=key, seconds=None)


class _Parent:
    """Waits for a child."""

    def __init__(
        self, pid: int, line: int, heeded: set[signal.Signals], tell: Callable[[str], object]
    ) -> None:
        self._tell = tell
        self._ending = Ending(pid)
        self._line = line
        os.set_blocking(line, False)
        self._rest = b""
        self._heeded = heeded
        self._limits: dict[str, tuple[float, str]] = {}
        self._looked = time.monotonic()
        # When the child was first asked to stop, whether it has heard that, and whether it was asked again.
        self._asked = 0.0
        self._is_heard = self._is_asked_again = False
        self._stopped_ticks = 0

    def wait(self) -> Ending:
        """How it ends."""
        while True:
            pid, status = os.waitpid(self._ending.pid, os.WNOHANG)
            self._listen()
            if pid:
                self._ending.code = os.waitstatus_to_exitcode(status)
                os.close(self._line)
                return self._ending
            self._act(signal.sigtimedwait({*self._heeded, signal.SIGCHLD}, _TICK))
            self._tell_of_stop()

    def _act(self, came: signal.struct_siginfo | None) -> None:
        now = time.monotonic()
        if self._limits and now - self._looked > _GAP:
            gap = now - self._looked
            self._limits = {key: (at + gap, text) for key, (at, text) in self._limits.items()}
        self._looked = now
        self._listen()
        if came is not None and came.si_signo != signal.SIGCHLD:
            # What the kernel sends comes from the terminal, which has sent it to the child as well. So may others have.
            if came.si_code <= 0 and not (came.si_signo in STOPPING and self._is_heard):
                self._send(came.si_signo)
            if came.si_signo in STOPPING:
                self._stop(came.si_signo, now)
        patience = 0.0 if self._is_asked_again else _IN_ORDER if self._is_heard else _UNHEARD
        if self._ending.interrupted is not None and now >= self._asked + patience:
            self._send(signal.SIGKILL)
        for key, (deadline, message) in self._limits.items():
            if now >= deadline and self._ending.why is None and self._ending.interrupted is None:
                self._ending.why = message, key
                self._send(signal.SIGKILL)

    def _stop(self, number: int, now: float) -> None:
        if self._ending.interrupted is None:
            self._ending.interrupted, self._asked = number, now
        elif now - self._asked > interrupts.SAME:
            self._is_asked_again = True

    def _tell_of_stop(self) -> None:
        """Say that the child is stopped, and this process is not: it was no Ctrl-Z."""
        found = None
        with contextlib.suppress(ChildProcessError):  # it has ended just now
            found = os.waitid(os.P_PID, self._ending.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        self._stopped_ticks = self._stopped_ticks + 1 if found else 0
        if self._stopped_ticks == _STOPPED:
            pid = self._ending.pid
            self._tell(f"process {pid} is stopped (SIGSTOP). It goes on with: kill -CONT {pid}")

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._ending.pid, number)

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._line, 1 << 16):
                *lines, self._rest = (self._rest + piece).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        if "goodbye" in message:
            self._ending.said_goodbye = True
        elif "heard" in message:
            self._stop(
                message["heard"], self._asked or time.monotonic()
            )  # it may have been sent to the child alone
            self._is_heard = True
        elif "run_dir" in message:
            self._ending.run_dir = Path(message["run_dir"])
        elif message["seconds"] is None:
            self._limits.pop(message["limit"], None)
        else:
            self._limits[message["limit"]] = time.monotonic() + message["seconds"], message["message"]
