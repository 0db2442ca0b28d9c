"""One job after the other, here and now."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from dlcli.executors.limits import Limits, too_long, went_on
from dlcli.job import Job, run_job
from dlcli.result import Result
from dlcli.supervision import limited
from dlcli.training.observer import Observer, Plan


class InProcess:
    """Runs a job when it is submitted; the future is done then. An interruption goes through to the caller."""

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Run the job."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(_run(job, observer))
        except Exception as error:
            future.set_exception(error)
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """Nobody can ask: a job is done when `submit` returns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing runs any more."""


def _run(job: Job, observer: Observer) -> Result:
    """Run the job; the command's parent process, if there is one, ends it where it takes too long."""
    limits = Limits.of(job.config)
    with ExitStack() as stack:
        if limits.job is not None:
            key = "executor.job_timeout"
            stack.enter_context(limited(key, limits.job, too_long(key, limits.job).problems[0].message))
        return run_job(job, observer if limits.fit is None else _Timed(observer, limits.fit, stack))


class _Timed(Observer):
    """Limits the time between the first step and the last, and passes everything on."""

    def __init__(self, observer: Observer, seconds: float, stack: ExitStack) -> None:
        self._observer = observer
        self._seconds = seconds
        self._stack = stack
        self._fit = ExitStack()

    def computed(self, done: int, total: int) -> None:
        self._observer.computed(done, total)

    def prepared(self, plan: Plan) -> None:
        text = went_on(self._seconds)
        self._fit = self._stack.enter_context(ExitStack())
        self._fit.enter_context(limited("trainer.max_time", self._seconds, text))
        self._observer.prepared(plan)

    def advanced(self, steps: int) -> None:
        self._observer.advanced(steps)

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._observer.finished_epoch(epoch, metrics)

    def trained(self) -> None:
        self._fit.close()
        self._observer.trained()

    def noted(self, text: str) -> None:
        self._observer.noted(text)

    @property
    def hopeless(self) -> bool:
        return self._observer.hopeless
