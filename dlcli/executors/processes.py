"""A pool's worker processes, from the driver's side: a template starts them (`dlcli.executors.template`)."""

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

from dlcli.executors.template import ONE_THREAD
from dlcli.executors.vitals import Vitals, is_gone

# Seconds that a process has to end once it knows that nothing more comes, and once it was killed: one that waits for a
# disk does not end even then, and is left to the kernel.
_LAST_WORDS, _DYING = 30.0, 5.0
_PAUSE = 0.01  # between two looks whether it has
_TICK = 0.5  # between two looks at one that says nothing
# Of a template that is asked something. It answers at once, but for its first answer: then it imports, perhaps from a
# slow disk.
_SILENCE = 300.0


class NoWorkerError(Exception):
    """A worker could not be started; says what ended its template, or why there was no process for it."""


class Processes:
    """Starts worker processes.

    Args:
        data_fd: the rows (`dlcli.datasets.shared_memory`).
        environment: what the template's has beyond the driver's. Threads belong there: libraries read their number
            when they are loaded.
        targets: what the jobs' configuration names of dlcli's own, to be imported beforehand. A user's own code might
            compute when it is imported, or start threads.
    """

    def __init__(self, data_fd: int, environment: Mapping[str, str], targets: Sequence[str]) -> None:
        self._data_fd = data_fd
        self._environment = environment
        self._targets = targets
        # The kernel ends a template when the thread that started it is gone: this one lives as long as the pool. All
        # questions are its, too, so that they come one after the other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dlcli-template")
        self._lock = threading.Lock()
        self._is_stopped = False
        self._template: _Template | None = None

    def start(self, place: Mapping[str, str]) -> Process:
        """A new worker, with an environment that has what `place` says.

        Raises:
            NoWorkerError: the template is gone (asked again, there will be another), or cannot fork.
        """
        return self._thread.submit(self._start, place).result()

    def stop(self) -> None:
        """Start no more. A template that still imports, which takes seconds, is ended."""
        with self._lock:
            self._is_stopped = True
            if self._template is not None and not self._template.has_answered:
                self._template.kill()

    def kill(self) -> None:
        """Start no more, and end the template at once; on Linux its workers die with it."""
        with self._lock:
            self._is_stopped = True
            if self._template is not None:
                self._template.kill()

    def close(self) -> None:
        """Let go of the template, when there are no more workers."""
        if self._template is not None:
            self._template.close()
        self._thread.shutdown()

    def _start(self, place: Mapping[str, str]) -> Process:
        with self._lock:
            if self._is_stopped:
                raise NoWorkerError("SIGKILL")
            if self._template is None or self._template.is_gone:
                self._template = _Template(self._data_fd, self._environment, self._targets)
        template = self._template
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
        pid: its number.
        jobs: a pipe to it.
        messages: a pipe from it.
        ended: its exit code, or None while it lives; not asked again once it has told.
    """

    def __init__(self, pid: int, jobs: int, messages: int, ended: Callable[[], int | None]) -> None:
        self.pid = pid
        self._jobs = os.fdopen(jobs, "w", encoding="utf-8")
        self._messages = messages
        self.has_lost_template = False
        self._rest = b""  # of a line that has not come whole
        self._ended = ended
        self._code: int | None = None
        self._lock = threading.Lock()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message; to one that is gone, which shows when it is listened to, nothing."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.write(json.dumps(message) + "\n")
            self._jobs.flush()

    def listen(self) -> Iterator[dict[str, Any] | None]:
        """What it says, until it is gone; None whenever it has said nothing for a moment."""
        while True:
            if not wait([self._messages], _TICK):
                # Its own children may hold the pipe when it is gone.
                if self._has_ended() and not wait([self._messages], 0):
                    return
                yield None
                continue
            piece = os.read(self._messages, 1 << 16)
            if not piece:  # what is left of a line: it was killed in the middle of it
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives.

        Nobody is asked whether it does, since that may take time: until its template is asked it keeps its number.
        """
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def retire(self, patience: float = _LAST_WORDS) -> None:
        """Let it end; one that does not, within so many seconds, is killed."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.close()
        if not self._ends_within(patience):
            self.signal(signal.SIGKILL)
            self._ends_within(_DYING)
        deadline = time.monotonic() + _DYING
        while self.has_lost_template and not is_gone(self.pid) and time.monotonic() < deadline:
            time.sleep(_PAUSE)  # whoever comes next wants its locks
        os.close(self._messages)

    @property
    def ending(self) -> str:
        """How a retired one ended."""
        return _told(-signal.SIGKILL if self._code is None else self._code)

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
                self._code = -signal.SIGKILL  # it dies with its template
                self.has_lost_template = True
        return self._code


class _Template:
    """A template process."""

    def __init__(self, data_fd: int, environment: Mapping[str, str], targets: Sequence[str]) -> None:
        self._questions, theirs = Pipe()
        fds = (data_fd, theirs.fileno())
        arguments = [*map(str, (os.getpid(), *fds)), *targets]
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlcli.executors.template", *arguments],
            env={**os.environ, **environment, **ONE_THREAD, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=fds,
            # Ctrl-C goes to the driver, which tells its workers once.
            start_new_session=True,
        )
        theirs.close()
        self.has_answered = False

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def start(self, place: Mapping[str, str], *pipes: int) -> int:
        """The process ID of a new worker; raises NoWorkerError."""
        answer = self._ask({"place": dict(place)}, *pipes)
        if "error" in answer:
            raise NoWorkerError(answer["error"])
        pid: int = answer["pid"]
        return pid

    def ended(self, pid: int) -> int | None:
        """A worker's exit code, or None while it lives; raises NoWorkerError where it died with its template."""
        return self._ask({"ended": pid}).get("code")

    def _ask(self, question: Mapping[str, Any], *fds: int) -> dict[str, Any]:
        try:
            self._questions.send_bytes(json.dumps(question).encode())
            for fd in fds:
                send_handle(self._questions, fd, self._process.pid)
            vitals = Vitals(self._process.pid)
            while not self._questions.poll(_TICK):
                if vitals.silence() > _SILENCE:
                    self.kill()
            answer: dict[str, Any] = json.loads(self._questions.recv_bytes())
        except (EOFError, OSError) as error:
            raise NoWorkerError(_told(self._end())) from error
        self.has_answered = True
        return answer

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Let it end: no more questions come."""
        self._questions.close()
        self._end()

    def _end(self) -> int:
        try:
            return self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
