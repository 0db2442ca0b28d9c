"""One job after the other, here and now."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dlcli.job import Job, run_job
from dlcli.result import Result

if TYPE_CHECKING:
    from dlcli.training.observer import Observer


class InProcess:
    """Runs a job when it is submitted; the future is done then. An interruption goes through to the caller."""

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Run the job."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(run_job(job, observer))
        except Exception as error:
            future.set_exception(error)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing runs any more."""
