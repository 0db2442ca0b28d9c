"""One slot of a pool of workers: takes jobs, one or several at a time, and supervises the process that runs them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.config.solver_names import memory_hint
from dlcli.errors import Interrupted, Pruned, TrainingError
from dlcli.events import Note
from dlcli.executors.channel import read_event
from dlcli.executors.job_messages import outcome, record_end, record_failed_job, record_loss
from dlcli.executors.job_queue import JobQueue, QueuedJob
from dlcli.executors.processes import NoWorkerError, Process, Processes
from dlcli.executors.time_limits import Limits, Oversight, Silent
from dlcli.executors.vitals import Vitals, state_of
from dlcli.job import Job
from dlcli.tracking.ledger import Ledger

_SILENT_TWICE = (
    "Check what the code waits for (a lock, the network, another process); "
    "executor.silence=null waits without limit."
)
# Messages that end a job.
_ENDS = ("done", "failed", "pruned", "interrupted")

# How many processes may become unresponsive with a job before it fails.
_TRIES = 2

REPLACED_TAG = "dlcli.replaced"


class Slot(threading.Thread):
    """A thread that runs jobs in one worker process at a time."""

    def __init__(
        self,
        queue: JobQueue,
        processes: Processes,
        place: Mapping[str, str],
        recycle: int,
        dataset: Mapping[str, Any],
    ) -> None:
        super().__init__(name="dlcli-worker-slot", daemon=True)
        self._queue = queue
        self._processes = processes
        self._place = place
        self._recycle = recycle
        self._dataset = dataset
        self._process: Process | None = None
        self._jobs_done = 0
        self._stopped = threading.Event()
        self._running: Sequence[QueuedJob] = ()
        self._end_by: tuple[Job, BaseException] | None = None  # set by the driver to end a running job

    def run(self) -> None:
        """Run jobs until the queue ends."""
        for tasks in self._queue.batches():
            if self._stopped.is_set():
                break
            # A job counts as running only once there is a process for it: starting the first one takes seconds.
            with contextlib.suppress(NoWorkerError):
                self._ready()
            self._do([task for task in tasks if task.future.set_running_or_notify_cancel()])
        self._retire()

    def stop(self, number: signal.Signals) -> None:
        """Stop the running jobs and take no more: they are asked to end (SIGTERM) or killed (SIGKILL)."""
        self._stopped.set()
        if (process := self._process) is not None:
            process.signal(number)

    def end(self, job: Job, why: BaseException) -> None:
        """End the given job, if it is running, with `why` as the reason."""
        if any(task.job is job for task in _unfinished(self._running)):
            self._end_by = job, why

    def _do(self, tasks: Sequence[QueuedJob], tries: int = _TRIES) -> None:
        """Run jobs in the same process, and set their futures."""
        self._end_by, self._running = None, tasks
        try:
            if tasks:
                self._try(tasks)
        except Silent as silence:
            self._kill()
            # Each alone, so that only the one that blocks or ends its process fails.
            for task in _unfinished(tasks):
                self._repeat(task, silence, tries - 1)
        except BaseException as error:
            for task in _unfinished(tasks):
                task.future.set_exception(error)

    def _repeat(self, task: QueuedJob, silence: Silent, tries: int) -> None:
        """Run a job again in a new process, at most `tries` times."""
        if self._stopped.is_set():
            task.future.set_exception(Interrupted(signal.SIGTERM))
        elif tries:
            text = f"the worker process was replaced: {silence}"
            Ledger.load(Path(task.job.run_dir)).add_tags({REPLACED_TAG: text})
            task.listen(Note(f"{_name(task.job)}: {text}. The job continues in a new process."))
            self._do([task], tries)
        else:
            error = TrainingError(str(silence), "executor.silence", _SILENT_TWICE)
            task.future.set_exception(record_failed_job(task.job, error))

    def _try(self, tasks: Sequence[QueuedJob]) -> None:
        """Run jobs in a worker, and set the futures of those that it ends or that end with it.

        Raises:
            Silent: The process is unresponsive, or has ended with several jobs, of which one may be the cause.
        """
        try:
            process = self._ready()
        except NoWorkerError as error:
            self._lose(tasks, str(error))
            return
        if self._stopped.is_set():
            raise Interrupted(signal.SIGTERM)
        process.tell({"jobs": [task.job.to_json() for task in tasks]})
        with contextlib.closing(self._supervised(tasks, process)) as messages:
            for message in messages:
                task = tasks[message["job"]]
                if message["event"] not in _ENDS:
                    try:
                        task.listen(read_event(message))
                    except Pruned:
                        process.tell({"hopeless": task.job.run_dir})
                    continue
                self._jobs_done += 1
                is_last = _unfinished(tasks) == [task]
                if is_last and message["event"] == "interrupted":
                    self._retire()
                _settle(task, message)
                if is_last:
                    return
        self._retire()
        if process.has_lost_template and not self._stopped.is_set():
            raise Silent("the process that workers are forked from has ended")
        if len(_unfinished(tasks)) > 1 and not self._stopped.is_set():
            raise Silent(
                f"it ended with {process.ending} while it trained {len(_unfinished(tasks))} runs together"
            )
        self._lose(tasks, process.ending)

    def _supervised(
        self, tasks: Sequence[QueuedJob], process: Process
    ) -> Generator[dict[str, Any], None, None]:
        """Yield the process's messages about the jobs, while enforcing their limits.

        Raises:
            TrainingError: A job exceeded a time limit, and was recorded as failed. Jobs with such limits run alone.
            Silent: The process is unresponsive, or was killed to end one of its jobs.
        """

        def tell(text: str) -> None:
            for task in _unfinished(tasks):
                task.listen(Note(f"{_name(task.job)} {text}"))

        vitals = Vitals(process.pid)
        oversight = Oversight(
            Limits.of(tasks[0].job.config),
            vitals.silence,
            vitals.note_activity,
            partial(state_of, process.pid),
            tell,
        )
        for message in process.listen():
            if message is not None:
                oversight.on_message(message["event"])
                yield message
            if self._end_by is not None:
                self._end_one(tasks, *self._end_by)
                raise Silent("another job in it was ended")
            try:
                if not self._stopped.is_set():
                    oversight.check()
            except TrainingError as error:
                self._kill()
                raise record_failed_job(tasks[0].job, error) from None

    def _end_one(self, tasks: Sequence[QueuedJob], job: Job, why: BaseException) -> None:
        """End the process with all of its jobs, and record the reason for one of them."""
        self._kill()
        for task in _unfinished(tasks):
            if task.job is job:
                record_end(Path(job.run_dir), why)
                task.future.set_exception(why)

    def _lose(self, tasks: Sequence[QueuedJob], ending: str) -> None:
        """Fail the jobs whose process has ended; all are recorded before the first is reported, which stops others."""
        lost = _unfinished(tasks)
        errors: list[BaseException] = [
            Interrupted(signal.SIGTERM)  # the job had not started
            if self._stopped.is_set()
            else record_loss(task.job, ending, memory_hint(task.job.config, at_once=True))
            for task in lost
        ]
        for task, error in zip(lost, errors, strict=True):
            task.future.set_exception(error)

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


def _unfinished(tasks: Sequence[QueuedJob]) -> list[QueuedJob]:
    return [task for task in tasks if not task.future.done()]


def _settle(task: QueuedJob, message: Mapping[str, Any]) -> None:
    """Set the future of a job that has ended."""
    if task.future.done():  # it was interrupted when its end had been sent
        return
    try:
        result = outcome(task.job, message)
    except BaseException as error:
        task.future.set_exception(error)
    else:
        task.future.set_result(result)
