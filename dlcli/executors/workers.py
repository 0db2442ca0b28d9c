"""Warm worker processes side by side, each with its own threads and device."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dlcli.errors import Interrupted
from dlcli.executors.channel import relay
from dlcli.executors.elsewhere import outcome, record_loss
from dlcli.job import Job
from dlcli.result import Result

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.datasets.sharing import SharedData
    from dlcli.training.observer import Observer

# Seconds that a stopped worker has to write down how its run ended.
_LAST_WORDS = 30.0
_OUT_OF_MEMORY = (
    "The system kills processes when memory runs out: fewer at once (--jobs), or smaller batches."
)
# Messages after which a job is over.
_ENDS = ("done", "failed", "pruned", "interrupted")


class _Task(NamedTuple):
    job: Job
    observer: Observer
    future: Future[Result]


class Workers:
    """A pool: a free worker takes the next job at once. The processes are started when they are first needed.

    Args:
        places: the environment of each worker.
        recycle: a worker is replaced after so many jobs.
        dataset: the section that names the rows.
        data: the rows, which workers map into their memory.
        folder: where there is room for them on disk.
    """

    def __init__(
        self,
        places: Sequence[Mapping[str, str]],
        recycle: int,
        dataset: Mapping[str, Any],
        data: Data,
        folder: Path,
    ) -> None:
        self._places = places
        self._recycle = recycle
        self._dataset = dict(dataset)
        self._data = data
        self._folder = folder
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._slots: list[_Slot] = []

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Queue a job."""
        future: Future[Result] = Future()
        self._tasks.put(_Task(job, observer, future))
        if len(self._slots) < len(self._places):
            slot = _Slot(
                self._tasks, self._places[len(self._slots)], self._recycle, self._dataset, self._shared
            )
            self._slots.append(slot)
            slot.start()
        return future

    def __enter__(self) -> Self:
        from dlcli.datasets.sharing import SharedData

        self._shared = SharedData(self._data, self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._drop_waiting()
            for slot in self._slots:
                slot.stop()
        for _ in self._slots:
            self._tasks.put(None)
        for slot in self._slots:
            slot.join()
        self._shared.close()

    def _drop_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task.future.cancel()


class _Slot(threading.Thread):
    """One place, and the worker process that has it now.

    The thread lives as long as its worker: the kernel ends a worker when the thread that started it is gone.
    """

    def __init__(
        self,
        tasks: queue.SimpleQueue[_Task | None],
        place: Mapping[str, str],
        recycle: int,
        dataset: Mapping[str, Any],
        shared: SharedData,
    ) -> None:
        super().__init__(name="dlcli-worker-slot", daemon=True)
        self._tasks = tasks
        self._place = place
        self._recycle = recycle
        self._dataset = dataset
        self._shared = shared
        self._process: subprocess.Popen[str] | None = None
        self._jobs_done = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        """Do jobs until there are no more."""
        while (task := self._tasks.get()) is not None and not self._stopped.is_set():
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                result = self._do(task)
            except BaseException as error:
                task.future.set_exception(error)
            else:
                task.future.set_result(result)
        self._retire()

    def stop(self) -> None:
        """Have the running job end as killed."""
        self._stopped.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)

    def _do(self, task: _Task) -> Result:
        process = self._ready()
        if self._stopped.is_set():
            raise Interrupted(signal.SIGTERM)
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # read below: it says nothing any more
            _write(process, {"job": task.job.to_json()})
        for line in process.stdout:
            message = json.loads(line)
            if message["event"] in _ENDS:
                self._jobs_done += 1
                if message["event"] == "interrupted":
                    self._retire()
                return outcome(task.job, message)
            relay(message, task.observer)
            if task.observer.hopeless:
                with contextlib.suppress(BrokenPipeError):
                    _write(process, {"hopeless": task.job.run_dir})
        self._process = None
        if self._stopped.is_set():  # it had not begun yet
            raise Interrupted(signal.SIGTERM)
        code = process.wait()
        ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise record_loss(task.job, ending, _OUT_OF_MEMORY)

    def _ready(self) -> subprocess.Popen[str]:
        if self._process is not None and self._jobs_done >= self._recycle:
            self._retire()
        if self._process is None:
            self._process, self._jobs_done = self._start(), 0
        return self._process

    def _start(self) -> subprocess.Popen[str]:
        fd = self._shared.fd
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlcli.executors.worker", str(os.getpid()), str(fd)],
            env={**os.environ, **self._place, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[fd],
            text=True,
            # Ctrl-C goes to the driver, which tells its workers once.
            start_new_session=True,
        )
        _write(process, {"dataset": self._dataset})
        return process

    def _retire(self) -> None:
        """Let the worker end; one that does not is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _write(process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
