"""Jobs in this process whose optimizer steps are taken together."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from types import TracebackType
from typing import Self

from dlcli.events import Listener
from dlcli.job import Job, pausing_job
from dlcli.result import Result
from dlcli.stacking.together import Together


class StackedJobs:
    """Runs jobs in this process, several at a time; those of one shape are trained as one model.

    Args:
        size: number of jobs that run at the same time.

    Attributes:
        together: this number.
    """

    def __init__(self, size: int) -> None:
        self.together = size
        self._queue: deque[tuple[Job, Listener, Future[Result]]] = deque()

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Queue a job, which `work` runs, and return its future."""
        future: Future[Result] = Future()
        self._queue.append((job, listen, future))
        return future

    def work(self) -> Generator[None, None, None]:
        """Run all jobs that are queued; yield whenever one has ended.

        If the iteration is not continued, the jobs that have not ended are interrupted.
        """
        while self._queue:
            tasks = [self._queue.popleft() for _ in range(min(self.together, len(self._queue)))]
            futures = [future for *_, future in tasks]
            for future in futures:
                future.set_running_or_notify_cancel()
            together = Together([pausing_job(job, listen) for job, listen, _ in tasks])
            with closing(together.outcomes()) as outcomes:
                for place, outcome in outcomes:
                    if isinstance(outcome, Exception):
                        futures[place].set_exception(outcome)
                    else:
                        futures[place].set_result(outcome)
                    yield

    def end(self, job: Job, why: BaseException) -> None:
        """Do nothing: there are no limits of time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the jobs that have not started."""
        self._queue.clear()
