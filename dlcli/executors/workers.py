"""A pool of warm worker processes, each with its own threads and device."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dlcli.datasets.shared_memory import SharedData
from dlcli.executors.early import take_processes
from dlcli.executors.job_queue import JobQueue, QueuedJob
from dlcli.executors.slot import Slot
from dlcli.gate.gate import targets

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.events import Listener
    from dlcli.job import Job
    from dlcli.result import Result

# Seconds that stopped workers have to record their end before they are killed, and to be gone after that.
_GRACE, _KILL_WAIT = 4.0, 3.0


class Workers:
    """A pool of worker processes, which are started on demand; the next jobs go to a free worker.

    Args:
        places: environment variables of each worker; they differ in the device only.
        recycle: number of jobs after which a worker is replaced.
        config: configuration with the `dataset` section, and the `runs_dir` whose disk may hold the shared rows.
        data: the dataset, which workers map into their memory.
        alone: environment variables of a worker whose job runs alone.
        stack: number of jobs that a worker trains together at most, as one model. If it is greater than 1, jobs start
            when `release` is called.

    Attributes:
        together: number of jobs that may be started together because some share a process; 1 if none do.
    """

    def __init__(
        self,
        places: Sequence[Mapping[str, str]],
        recycle: int,
        config: Mapping[str, Any],
        data: Data,
        alone: Mapping[str, str],
        stack: int = 1,
    ) -> None:
        self.together = stack * len(places) if stack > 1 else 1
        self._places = places
        self._alone = alone
        self._recycle = recycle
        self._config = config
        self._data = data
        self._queue = JobQueue(stack, len(places))
        self._slots: list[Slot] = []

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Queue a job and return its future."""
        future: Future[Result] = Future()
        self._queue.put(QueuedJob(job, listen, future))
        if len(self._slots) < len(self._places):
            self._open_slot(self._queue, self._places[len(self._slots)])
        return future

    def release(self) -> None:
        """Start the jobs that were submitted so far, shared out among the workers."""
        self._queue.release()

    def submit_last(self, job: Job, listen: Listener) -> Future[Result]:
        """Run a job alone, after all others: in a new process, which has the threads of a job in the driver."""
        self._queue.close()
        future: Future[Result] = Future()
        last = JobQueue()
        last.put(QueuedJob(job, listen, future))
        last.close()
        self._open_slot(last, self._alone)
        return future

    def _open_slot(self, jobs: JobQueue, place: Mapping[str, str]) -> None:
        slot = Slot(jobs, self._processes, place, self._recycle, self._config["dataset"])
        self._slots.append(slot)
        slot.start()

    def end(self, job: Job, why: BaseException) -> None:
        """End a running job with `why` as the reason."""
        for slot in self._slots:
            slot.end(job, why)

    def __enter__(self) -> Self:
        # Jobs have no section `sweep`, whose sampler would import Optuna.
        of_jobs = {section: node for section, node in self._config.items() if section != "sweep"}
        own = [target for target in targets(of_jobs) if target.startswith("dlcli.")]
        self._shared = SharedData(self._data, Path(self._config["runs_dir"]))
        self._processes = take_processes()
        self._processes.share(self._shared.fd, own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._queue.drop()
                self._processes.stop()
                for slot in self._slots:
                    slot.stop(signal.SIGTERM)
            self._queue.close()
            self._await_slots(None if error is None else _GRACE)
        finally:  # a second Ctrl-C skips the wait above
            if any(slot.is_alive() for slot in self._slots):
                for slot in self._slots:
                    slot.stop(signal.SIGKILL)
                self._processes.kill()
                self._await_slots(_KILL_WAIT)
            self._processes.close()
            self._shared.close()

    def _await_slots(self, seconds: float | None) -> None:
        """Wait until all slots have ended, for at most `seconds` if given."""
        deadline = None if seconds is None else time.monotonic() + seconds
        for slot in self._slots:
            slot.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
