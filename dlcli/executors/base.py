"""What every executor can do."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from dlcli.job import Job
    from dlcli.result import Result
    from dlcli.training.observer import Observer


class Executor(Protocol):
    """Runs jobs; a context manager. Left by an exception, it stops what runs and drops what waits."""

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Take a job. The observer hears of its epochs, perhaps from another thread.

        The future raises what the job raised, a DlcliError where it ran elsewhere.
        """

    def end(self, job: Job, why: BaseException) -> None:
        """End a job that runs elsewhere, whatever it is doing: its record ends by `why`, which its future raises."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
