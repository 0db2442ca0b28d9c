"""The driver's side of a pool's worker processes, which are started by a template (`dlcli.executors.template`)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import wait
from multiprocessing.reduction import send_handle
from typing import Any

from dlcli.executors.template import ONE_THREAD, fork_template
from dlcli.executors.vitals import Vitals, is_gone
from dlcli.process.forked import ForkedProcess

# Seconds to wait for the end of a process after its input was closed, and after it was killed. A process in
# uninterruptible sleep does not end even then, and is left to the kernel.
_GRACE, _KILL_WAIT = 30.0, 5.0
_PAUSE = 0.01  # seconds between checks whether a process has ended
_TICK = 0.5  # seconds between checks of a process that sends no messages
# Seconds of inactivity after which a template that has not answered is killed. It answers immediately, except the first
# time, when it imports libraries, possibly from a slow disk.
_SILENCE = 300.0


class NoWorkerError(Exception):
    """A worker could not be started; the message says why its template ended, or why it could not fork."""


class Processes:
    """Starts worker processes.

    The template imports libraries, beginning with `warm`, but no user code, which might start threads on import.
    """

    def __init__(self) -> None:
        self._data_fd = -1
        self._targets: Sequence[str] = ()
        # The kernel kills a template when the thread that started it ends, so one thread lives as long as the pool. It
        # also sends all requests, which serializes them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dlcli-template")
        self._lock = threading.Lock()
        self._is_stopped = False
        self._template: _Template | None = None

    def warm(self) -> None:
        """Start a template, without waiting for it."""
        self._thread.submit(self._living_template)

    def fork(self, later: Sequence[str] = ()) -> None:
        """Fork this process as the template, which then imports the modules `later`.

        It must have one thread, and has imported what all workers need.
        """
        self._template = _Template(later, is_fork=True)

    def share(self, data_fd: int, targets: Sequence[str]) -> None:
        """Set the rows and imports with which workers are started; call it before `start`.

        Args:
            data_fd: file descriptor of the rows (`dlcli.datasets.shared_memory`).
            targets: `_target_`s of dlcli's own in the jobs' configuration.
        """
        self._data_fd, self._targets = data_fd, targets

    def start(self, place: Mapping[str, str]) -> Process:
        """Start a worker with the environment variables in `place`.

        Raises:
            NoWorkerError: The template is gone (the next call starts another), or cannot fork.
        """
        return self._thread.submit(self._start, place).result()

    def stop(self) -> None:
        """Start no more workers. A template that is still importing, which takes seconds, is killed."""
        with self._lock:
            self._is_stopped = True
            if self._template is not None and not self._template.has_answered:
                self._template.kill()

    def kill(self) -> None:
        """Start no more workers, and kill the template; on Linux its workers die with it."""
        with self._lock:
            self._is_stopped = True
            if self._template is not None:
                self._template.kill()

    def close(self) -> None:
        """Close the template, once all workers have ended."""
        if self._template is not None:
            self._template.close()
        self._thread.shutdown()

    def _living_template(self) -> _Template:
        with self._lock:
            if self._is_stopped:
                raise NoWorkerError("SIGKILL")
            if self._template is None or self._template.is_gone:
                self._template = _Template()
            return self._template

    def _start(self, place: Mapping[str, str]) -> Process:
        template = self._living_template()
        if not template.has_rows:
            template.take_rows(self._data_fd, self._targets)
        (theirs, jobs), (messages, ours) = os.pipe(), os.pipe()
        try:
            pid = template.start(place, theirs, ours)
        except BaseException:
            os.close(jobs)
            os.close(messages)
            raise
        finally:
            os.close(theirs)
            os.close(ours)
        return Process(pid, jobs, messages, lambda: self._thread.submit(template.ended, pid).result())


class Process:
    """A worker process.

    Args:
        pid: its process ID.
        jobs: write end of the pipe to it.
        messages: read end of the pipe from it.
        ended: returns its exit code, or None while it is alive; not called again after it has returned a code.
    """

    def __init__(self, pid: int, jobs: int, messages: int, ended: Callable[[], int | None]) -> None:
        self.pid = pid
        self._jobs = os.fdopen(jobs, "w", encoding="utf-8")
        self._messages = messages
        self.has_lost_template = False
        self._partial = b""  # the start of a line whose end has not arrived
        self._ended = ended
        self._code: int | None = None
        self._lock = threading.Lock()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message. If the process is gone, do nothing: `listen` reports it."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.write(json.dumps(message) + "\n")
            self._jobs.flush()

    def listen(self) -> Iterator[dict[str, Any] | None]:
        """Yield its messages until it is gone, and None whenever none has arrived for a moment."""
        while True:
            if not wait([self._messages], _TICK):
                # After it has ended, its children may still hold the pipe open.
                if self._has_ended() and not wait([self._messages], 0):
                    return
                yield None
                continue
            piece = os.read(self._messages, 1 << 16)
            if not piece:  # a partial line is dropped: the process was killed while writing it
                return
            *lines, self._partial = (self._partial + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process is alive.

        The template is not asked whether it is, which could take time: until then the process ID stays reserved.
        """
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def retire(self, patience: float = _GRACE) -> None:
        """Let the process end, and kill it if that takes more than `patience` seconds."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.close()
        if not self._ends_within(patience):
            self.signal(signal.SIGKILL)
            self._ends_within(_KILL_WAIT)
        deadline = time.monotonic() + _KILL_WAIT
        while self.has_lost_template and not is_gone(self.pid) and time.monotonic() < deadline:
            time.sleep(_PAUSE)  # its replacement needs the locks that it holds
        os.close(self._messages)

    @property
    def ending(self) -> str:
        """How a retired process ended, in words."""
        return _ending(-signal.SIGKILL if self._code is None else self._code)

    def _has_ended(self) -> bool:
        with self._lock:
            return self._poll() is not None

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True

    def _poll(self) -> int | None:
        if self._code is None:
            try:
                self._code = self._ended()
            except NoWorkerError:
                self._code = -signal.SIGKILL  # a worker dies with its template
                self.has_lost_template = True
        return self._code


class _Template:
    """A template process."""

    def __init__(self, later: Sequence[str] = (), *, is_fork: bool = False) -> None:
        self._requests, theirs = Pipe()
        self._process: subprocess.Popen[bytes] | ForkedProcess
        if is_fork:
            self._process = ForkedProcess(fork_template(theirs.fileno(), self._requests.fileno(), later))
        else:
            self._process = _start_program(theirs.fileno())
        theirs.close()
        self.has_answered = self.has_rows = False

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def take_rows(self, data_fd: int, targets: Sequence[str]) -> None:
        """Send the rows, and the names of what to import for the jobs; raises NoWorkerError."""
        about = {"targets": list(targets), "environment": dict(os.environ), "path": sys.path}
        self._ask(about, data_fd)
        self.has_rows = True

    def start(self, place: Mapping[str, str], *pipes: int) -> int:
        """Fork a worker and return its process ID; raises NoWorkerError."""
        answer = self._ask({"place": dict(place)}, *pipes)
        if "error" in answer:
            raise NoWorkerError(answer["error"])
        pid: int = answer["pid"]
        return pid

    def ended(self, pid: int) -> int | None:
        """Return a worker's exit code, or None while it is alive; raises NoWorkerError if the template is gone."""
        return self._ask({"ended": pid}).get("code")

    def _ask(self, request: Mapping[str, Any], *fds: int) -> dict[str, Any]:
        try:
            self._requests.send_bytes(json.dumps(request).encode())
            for fd in fds:
                send_handle(self._requests, fd, self._process.pid)
            vitals = Vitals(self._process.pid)
            while not self._requests.poll(_TICK):
                if vitals.silence() > _SILENCE:
                    self.kill()
            answer: dict[str, Any] = json.loads(self._requests.recv_bytes())
        except (EOFError, OSError) as error:
            raise NoWorkerError(_ending(self._end())) from error
        self.has_answered = True
        return answer

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def close(self) -> None:
        """Close the pipe of requests, and wait for the process to end."""
        self._requests.close()
        self._end()

    def _end(self) -> int:
        try:
            return self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _start_program(requests_fd: int) -> subprocess.Popen[bytes]:
    arguments = map(str, (os.getpid(), requests_fd))
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dlcli.executors.template", *arguments],
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[requests_fd],
        # Ctrl-C must reach the driver only, which then signals its workers once.
        start_new_session=True,
    )


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
