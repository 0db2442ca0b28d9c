"""Warm worker processes side by side, each with its own threads and device."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dlcli.errors import DlcliError, Interrupted
from dlcli.executors.channel import relay
from dlcli.executors.elsewhere import outcome, record_loss
from dlcli.executors.processes import NoWorkerError, Process, Processes
from dlcli.job import Job
from dlcli.result import Result

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.training.observer import Observer

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
        places: the environment of each worker; they differ in the device only.
        recycle: a worker is replaced after so many jobs.
        config: what the jobs are about: their rows, and in whose folder there is room for these on disk.
        data: the rows, which workers map into their memory.
    """

    def __init__(
        self,
        places: Sequence[Mapping[str, str]],
        recycle: int,
        config: Mapping[str, Any],
        data: Data,
    ) -> None:
        self._places = places
        self._recycle = recycle
        self._config = config
        self._data = data
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._slots: list[_Slot] = []

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Queue a job."""
        future: Future[Result] = Future()
        self._tasks.put(_Task(job, observer, future))
        if len(self._slots) < len(self._places):
            place = self._places[len(self._slots)]
            slot = _Slot(self._tasks, self._processes, place, self._recycle, self._config["dataset"])
            self._slots.append(slot)
            slot.start()
        return future

    def __enter__(self) -> Self:
        from dlcli.datasets.sharing import SharedData
        from dlcli.gate.gate import targets

        own = [target for target in targets(self._config) if target.startswith("dlcli.")]
        self._shared = SharedData(self._data, Path(self._config["runs_dir"]))
        self._processes = Processes(self._shared.fd, self._places[0], own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._drop_waiting()
            self._processes.stop()
            for slot in self._slots:
                slot.stop()
        for _ in self._slots:
            self._tasks.put(None)
        for slot in self._slots:
            slot.join()
        self._processes.close()
        self._shared.close()

    def _drop_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task.future.cancel()


class _Slot(threading.Thread):
    """One place, and the worker process that has it now."""

    def __init__(
        self,
        tasks: queue.SimpleQueue[_Task | None],
        processes: Processes,
        place: Mapping[str, str],
        recycle: int,
        dataset: Mapping[str, Any],
    ) -> None:
        super().__init__(name="dlcli-worker-slot", daemon=True)
        self._tasks = tasks
        self._processes = processes
        self._place = place
        self._recycle = recycle
        self._dataset = dataset
        self._process: Process | None = None
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
        if (process := self._process) is not None:
            process.signal(signal.SIGTERM)

    def _do(self, task: _Task) -> Result:
        try:
            process = self._ready()
        except NoWorkerError as error:
            raise self._loss(task, str(error)) from None
        if self._stopped.is_set():
            raise Interrupted(signal.SIGTERM)
        process.tell({"job": task.job.to_json()})
        for message in process.listen():
            if message["event"] in _ENDS:
                self._jobs_done += 1
                if message["event"] == "interrupted":
                    self._retire()
                return outcome(task.job, message)
            relay(message, task.observer)
            if task.observer.hopeless:
                process.tell({"hopeless": task.job.run_dir})
        self._retire()
        raise self._loss(task, process.ending)

    def _loss(self, task: _Task, ending: str) -> DlcliError | Interrupted:
        if self._stopped.is_set():  # it had not begun yet
            return Interrupted(signal.SIGTERM)
        return record_loss(task.job, ending, _OUT_OF_MEMORY)

    def _ready(self) -> Process:
        if self._process is not None and self._jobs_done >= self._recycle:
            self._retire()
        if self._process is None:
            self._process, self._jobs_done = self._processes.start(self._place), 0
            self._process.tell({"dataset": self._dataset})
        return self._process

    def _retire(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.retire()
