"""Supervision of a command that trains: it runs in a child process, whose parent ends it if it hangs.

A process that ends by `os._exit` in a model, by a crash in C code or for lack of memory cannot report it, but its
parent can. The fork takes place before large modules are imported, so it takes milliseconds. The parent does no work.

The child handles signals. Ctrl-C at a terminal reaches both processes; a signal to the parent alone is forwarded. If
the child does not handle a signal (its main thread is in a call that does not return), it is killed after some
seconds, or immediately on a second signal. The child dies with its parent.
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

# Seconds that a child has to handle a signal, and then to shut down. Pools of workers take less.
_UNHANDLED, _SHUTDOWN = 8.0, 60.0

# Seconds between polls of the child, and consecutive polls after which it is reported as stopped.
_TICK, _STOPPED = 0.5, 4

# A longer gap in seconds between two polls means that the parent was stopped together with its child (Ctrl-Z): this
# time does not count towards limits.
_GAP = 5.0


@dataclass
class Ending:
    """How a child process has ended.

    Attributes:
        pid: process ID.
        code: exit code, or minus the number of the signal that ended it.
        ended_normally: whether the child ran to its end.
        interrupted: the signal that asked it to end.
        why: for a child that exceeded a time limit and was killed: the message, and the configuration key of the limit.
        run_dir: folder of the run that it recorded.
    """

    pid: int
    code: int = 0
    ended_normally: bool = False
    interrupted: int | None = None
    why: tuple[str, str] | None = None
    run_dir: Path | None = None


def supervise(tell: Callable[[str], object]) -> Ending | None:
    """Fork this process. Return None in the child, which continues; in the parent, wait and return the child's ending.

    None is also returned, without a fork, if dlcli is not the process's program (a notebook, a test), and in a
    debugger.

    Args:
        tell: called in the parent with notes for the user.
    """
    global _line
    if not (program.is_running and _line is None and hasattr(signal, "sigtimedwait")) or sys.gettrace():
        return None
    heeded = {number for number in _PASSED_ON if signal.getsignal(number) != signal.SIG_IGN}
    # If it were ignored, the kernel would discard exit codes.
    on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
    program.farewell = partial(_line.send, goodbye=True)
    interrupts.on_signal = partial(_report_signal, _line)
    return None


def _report_signal(line: _Line, number: int) -> None:
    line.send(heard=int(number))


class _Line:
    """A child's pipe to its parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()

    def send(self, **message: Any) -> None:
        """Send a message. Processes that the child forks send none."""
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                os.write(self._fd, json.dumps(message).encode() + b"\n")


# None in a process without a supervising parent.
_line: _Line | None = None


def is_supervised() -> bool:
    """Return whether a parent supervises this process."""
    return _line is not None


def announce_run(run_dir: Path) -> None:
    """Inform the parent which run this process records."""
    if _line is not None:
        _line.send(run_dir=str(run_dir))


@contextlib.contextmanager
def limited(key: str, seconds: float, message: str) -> Iterator[None]:
    """Have the parent, if there is one, kill this process when the context takes longer than `seconds`.

    Args:
        key: configuration key of the limit.
        seconds: the limit.
        message: reported as the reason.
    """
    if _line is None:
        yield
        return
    _line.send(limit=key, seconds=seconds, message=message)
    try:
        yield
    finally:
        _line.send(limit=key, seconds=None)


@contextlib.contextmanager
def _ticking() -> Iterator[None]:
    """Have the kernel send SIGALRM, which is blocked, at each tick.

    `sigtimedwait` would be simpler, but Python (3.11 to 3.14) returns an uninitialized result, often SIGINT, from one
    that SIGSTOP and SIGCONT interrupt for longer than its timeout.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.sigtimedwait({signal.SIGALRM}, 0)  # a pending one would end the process
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Parent:
    """The parent's side: waits for the child, forwards signals and enforces limits."""

    def __init__(
        self, pid: int, line: int, heeded: set[signal.Signals], tell: Callable[[str], object]
    ) -> None:
        self._tell = tell
        self._ending = Ending(pid)
        self._line = line
        os.set_blocking(line, False)
        self._partial = b""  # the start of a message whose end has not arrived
        self._heeded = heeded
        self._limits: dict[str, tuple[float, str]] = {}
        self._polled = time.monotonic()
        # When the child was first signalled to stop, whether it has handled that signal, and whether a second one came.
        self._asked = 0.0
        self._is_handled = self._is_asked_again = False
        self._stopped_ticks = 0

    def wait(self) -> Ending:
        """Wait for the child, and return how it ended."""
        with _ticking():
            while True:
                pid, status = os.waitpid(self._ending.pid, os.WNOHANG)
                self._listen()
                if pid:
                    self._ending.code = os.waitstatus_to_exitcode(status)
                    os.close(self._line)
                    return self._ending
                self._act(signal.sigwaitinfo({*self._heeded, signal.SIGCHLD, signal.SIGALRM}))
                self._tell_of_stop()

    def _act(self, received: signal.struct_siginfo) -> None:
        now = time.monotonic()
        if self._limits and now - self._polled > _GAP:
            gap = now - self._polled
            self._limits = {key: (at + gap, text) for key, (at, text) in self._limits.items()}
        self._polled = now
        self._listen()
        if received.si_signo in self._heeded:
            # A signal from the kernel comes from the terminal, which has signalled the child as well. Other senders may
            # have signalled both, too.
            if received.si_code <= 0 and not (received.si_signo in STOPPING and self._is_handled):
                self._send(received.si_signo)
            if received.si_signo in STOPPING:
                self._stop(received.si_signo, now)
        patience = 0.0 if self._is_asked_again else _SHUTDOWN if self._is_handled else _UNHANDLED
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
        """Report that the child is stopped although this process is not, so that Ctrl-Z is not the reason."""
        found = None
        with contextlib.suppress(ChildProcessError):  # it has just ended
            found = os.waitid(os.P_PID, self._ending.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        self._stopped_ticks = self._stopped_ticks + 1 if found else 0
        if self._stopped_ticks == _STOPPED:
            pid = self._ending.pid
            self._tell(f"process {pid} is stopped (SIGSTOP). To continue it: kill -CONT {pid}")

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._ending.pid, number)

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._line, 1 << 16):
                *lines, self._partial = (self._partial + piece).split(b"\n")
                for line in lines:
                    self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        if "goodbye" in message:
            self._ending.ended_normally = True
        elif "heard" in message:
            # The signal may have been sent to the child alone.
            self._stop(message["heard"], self._asked or time.monotonic())
            self._is_handled = True
        elif "run_dir" in message:
            self._ending.run_dir = Path(message["run_dir"])
        elif message["seconds"] is None:
            self._limits.pop(message["limit"], None)
        else:
            self._limits[message["limit"]] = time.monotonic() + message["seconds"], message["message"]
