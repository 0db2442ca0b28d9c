"""The queue of a pool's jobs, from which free workers take one job or several at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

from dlcli.events import Listener
from dlcli.job import Job
from dlcli.result import Result


class QueuedJob(NamedTuple):
    """A job with the listener to its events and its future."""

    job: Job
    listen: Listener
    future: Future[Result]


class JobQueue:
    """Jobs that wait for a worker.

    Args:
        stack: maximum number of jobs that a worker takes at once. If it is greater than 1, jobs wait for `release`, so
            that those that are submitted together are shared out evenly.
        workers: number of workers.
    """

    def __init__(self, stack: int = 1, workers: int = 1) -> None:
        self._stack = stack
        self._workers = workers
        self._busy = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._submitted: deque[QueuedJob] = deque()
        self._released: deque[QueuedJob] = deque()

    def put(self, job: QueuedJob) -> None:
        """Add a job."""
        with self._changed:
            self._submitted.append(job)
        if self._stack == 1:
            self.release()

    def release(self) -> None:
        """Let workers take the jobs that were added so far."""
        with self._changed:
            self._released.extend(self._submitted)
            self._submitted.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Let the iterations of `batches` end after the jobs that were added so far."""
        self.release()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def drop(self) -> None:
        """Cancel the jobs that no worker has taken."""
        with self._changed:
            dropped = [*self._released, *self._submitted]
            self._released.clear()
            self._submitted.clear()
        for job in dropped:
            job.future.cancel()

    def batches(self) -> Iterator[list[QueuedJob]]:
        """Yield jobs for one worker to run together; it has ended them when it asks for the next ones."""
        while batch := self._take():
            try:
                yield batch
            finally:
                with self._changed:
                    self._busy -= 1

    def _take(self) -> list[QueuedJob]:
        """Wait for jobs, and return the share of one free worker; none if the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._released or self._is_closed)
            share = -(-len(self._released) // max(1, self._workers - self._busy))
            self._busy += 1
            return [self._released.popleft() for _ in range(min(self._stack, share))]
