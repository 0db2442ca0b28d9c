"""The interface of executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import closing, contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from dlcli.config.build import build
from dlcli.events import Event, JobEvent, JobFinished, Listener, Note
from dlcli.executors.stacked_jobs import StackedJobs
from dlcli.executors.workers import Workers

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.job import Job
    from dlcli.result import Result


class Executor(Protocol):
    """Runs jobs. A context manager: on an exception it stops running jobs and cancels queued ones."""

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Submit a job and return its future.

        `listen` receives the job's events, possibly from another thread. The future raises the job's
        exception; if the job ran in another process, that is a DlcliError.
        """

    def end(self, job: Job, why: BaseException) -> None:
        """End a job that runs in another process; `why` is recorded as the reason, and its future raises it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def execute(
    jobs: Sequence[Job],
    config: Mapping[str, Any],
    data: Data,
    listen: Listener,
    ended: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Run all jobs on the same rows, and return their results in the order of the jobs.

    `ended` is called in this thread whenever a job has ended. The first failure stops the jobs that are running; they
    continue when the experiment is resumed.
    """
    if not jobs:
        return []
    section = build(config["executor"], where="executor")
    if opening := getattr(section, "opening", ""):
        listen(Note(opening))
    executor: Executor = section.open(config, data, len(jobs))
    with executor:
        futures: list[Future[Result]] = []
        for index, job in enumerate(jobs):
            future = executor.submit(job, partial(_pass_on, listen, index))
            future.add_done_callback(partial(_report, listen, index))
            futures.append(future)
            if future.done():
                future.result()
                ended()
        with working(executor) as worked:
            for _ in worked:
                for future in futures:
                    if future.done():
                        future.result()
                ended()
        for future in as_completed(futures):
            future.result()
            ended()
    return [future.result() for future in futures]


def execute_last(
    job: Job, executor: Workers, listen: Listener, meanwhile: Callable[[], object] = lambda: None
) -> Result:
    """Run a job alone in an executor whose jobs have ended, call `meanwhile` in this process, and return the result."""
    future = executor.submit_last(job, partial(_pass_on, listen, 0))
    future.add_done_callback(partial(_report, listen, 0))
    meanwhile()
    return future.result()


@contextmanager
def working(executor: Executor) -> Iterator[Iterator[None]]:
    """Start the submitted jobs of an executor that runs several as one model.

    If it runs them in this thread, the iterator runs them, and yields whenever one has ended; on exit, those that have
    not ended are interrupted.
    """
    if isinstance(executor, StackedJobs):
        with closing(executor.work()) as worked:
            yield worked
        return
    if isinstance(executor, Workers):
        executor.release()
    yield iter(())


def _pass_on(listen: Listener, index: int, event: Event) -> None:
    listen(JobEvent(index, event))


def _report(listen: Listener, index: int, future: Future[Result]) -> None:
    if not future.cancelled() and future.exception() is None:
        listen(JobFinished(index, future.result()))
