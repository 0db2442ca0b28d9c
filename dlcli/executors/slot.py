"""One slot of a pool of workers: takes jobs one after the other, and supervises the process that runs them."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dlcli.errors import DlcliError, Interrupted, Pruned, TrainingError
from dlcli.events import Listener, Note
from dlcli.executors.channel import read_event
from dlcli.executors.job_messages import outcome, record_end, record_failed_job, record_loss
from dlcli.executors.processes import NoWorkerError, Process, Processes
from dlcli.executors.time_limits import Limits, Oversight, Silent
from dlcli.executors.vitals import Vitals, state_of
from dlcli.job import Job
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger

_OUT_OF_MEMORY = (
    "The system kills processes when memory runs out: run fewer jobs at a time (--jobs), "
    "or use smaller batches."
)
_SILENT_TWICE = (
    "Check what the code waits for (a lock, the network, another process); "
    "executor.silence=null waits without limit."
)
# Messages that end a job.
_ENDS = ("done", "failed", "pruned", "interrupted")

# How many processes may become unresponsive with a job before it fails.
_TRIES = 2

REPLACED_TAG = "dlcli.replaced"


class QueuedJob(NamedTuple):
    """A job with the listener to its events and its future."""

    job: Job
    listen: Listener
    future: Future[Result]


class Slot(threading.Thread):
    """A thread that runs jobs in one worker process at a time."""

    def __init__(
        self,
        tasks: queue.SimpleQueue[QueuedJob | None],
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
        self._running: Job | None = None
        self._end_by: BaseException | None = None  # set by the driver to end the running job

    def run(self) -> None:
        """Run jobs until the queue ends."""
        while (task := self._tasks.get()) is not None and not self._stopped.is_set():
            # A job counts as running only once there is a process for it: starting the first one takes seconds.
            with contextlib.suppress(NoWorkerError):
                self._ready()
            if not task.future.set_running_or_notify_cancel():
                continue
            self._end_by, self._running = None, task.job
            try:
                result = self._do(task)
            except BaseException as error:
                self._running = None
                task.future.set_exception(error)
            else:
                self._running = None
                task.future.set_result(result)
        self._retire()

    def stop(self, number: signal.Signals) -> None:
        """Stop the running job and take no more: it is asked to end (SIGTERM) or killed (SIGKILL)."""
        self._stopped.set()
        if (process := self._process) is not None:
            process.signal(number)

    def end(self, job: Job, why: BaseException) -> None:
        """End the given job, if it is the running one, with `why` as the reason."""
        if self._running is job:
            self._end_by = why

    def _do(self, task: QueuedJob) -> Result:
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._try(task)
            except Silent as silence:
                self._kill()
                if self._stopped.is_set():
                    break
                if not tries_left:
                    error = TrainingError(str(silence), "executor.silence", _SILENT_TWICE)
                    raise record_failed_job(task.job, error) from None
                text = f"the worker process was replaced: {silence}"
                Ledger.load(Path(task.job.run_dir)).add_tags({REPLACED_TAG: text})
                task.listen(Note(f"{_name(task.job)}: {text}. The job continues in a new process."))
        raise Interrupted(signal.SIGTERM)

    def _try(self, task: QueuedJob) -> Result:
        """Run a job in a worker.

        Raises:
            Silent: The process is unresponsive.
        """
        try:
            process = self._ready()
        except NoWorkerError as error:
            raise self._loss(task, str(error)) from None
        if self._stopped.is_set():
            raise Interrupted(signal.SIGTERM)
        process.tell({"job": task.job.to_json()})
        with contextlib.closing(self._supervised(task, process)) as messages:
            for message in messages:
                if message["event"] in _ENDS:
                    self._jobs_done += 1
                    if message["event"] == "interrupted":
                        self._retire()
                    return outcome(task.job, message)
                try:
                    task.listen(read_event(message))
                except Pruned:
                    process.tell({"hopeless": task.job.run_dir})
        self._retire()
        if process.has_lost_template and not self._stopped.is_set():
            raise Silent("the process that workers are forked from has ended")
        raise self._loss(task, process.ending)

    def _supervised(self, task: QueuedJob, process: Process) -> Generator[dict[str, Any], None, None]:
        """Yield the process's messages about the job, while enforcing the job's limits.

        Raises:
            TrainingError: The job exceeded a time limit, and was recorded as failed.
            Silent: The process is unresponsive.
        """
        vitals = Vitals(process.pid)
        oversight = Oversight(
            Limits.of(task.job.config),
            vitals.silence,
            vitals.note_activity,
            partial(state_of, process.pid),
            lambda text: task.listen(Note(f"{_name(task.job)} {text}")),
        )
        for message in process.listen():
            if message is not None:
                oversight.on_message(message["event"])
                yield message
            if self._end_by is not None:
                self._kill()
                record_end(Path(task.job.run_dir), self._end_by)
                raise self._end_by
            try:
                if not self._stopped.is_set():
                    oversight.check()
            except TrainingError as error:
                self._kill()
                raise record_failed_job(task.job, error) from None

    def _loss(self, task: QueuedJob, ending: str) -> DlcliError | Interrupted:
        if self._stopped.is_set():  # the job had not started
            return Interrupted(signal.SIGTERM)
        return record_loss(task.job, ending, _OUT_OF_MEMORY)

    def _ready(self) -> Process:
        if self._process is not None and self._jobs_done >= self._recycle:
            self._retire()
        if self._process is None:
            try:
                self._process = self._processes.start(self._place)
            except NoWorkerError:  # the template is gone: the second call starts another
                self._process = self._processes.start(self._place)
            self._jobs_done = 0
            self._process.tell({"dataset": self._dataset})
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._retire()

    def _retire(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.retire()


def _name(job: Job) -> str:
    return Ledger.load(Path(job.run_dir)).run_name
