"""`executor=local`: this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

from annotated_types import Ge, Gt

from dlcli.config.timespan import seconds_of
from dlcli.executors.time_limits import Limits, too_long, went_on
from dlcli.job import Job, run_job
from dlcli.process.cores import cores, share
from dlcli.process.supervision import limited
from dlcli.result import Result
from dlcli.training.observer import Observer, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dlcli.datasets.data import Data
    from dlcli.executors.base import Executor


@dataclass(frozen=True)
class Local:
    """The `executor` section.

    Args:
        jobs: how many jobs at once.
        recycle: a worker process is replaced after so many jobs.
        job_timeout: a job that takes longer is ended, and has failed: seconds, or text such as 30m, 2h.
        silence: a worker process that gives no sign of life for so long is replaced; None waits for it.
    """

    jobs: Annotated[int, Ge(1)] = 1
    recycle: Annotated[int, Ge(1)] = 20
    job_timeout: Annotated[float, Gt(0)] | str | None = None
    silence: Annotated[float, Gt(0)] | str | None = "10m"

    def __post_init__(self) -> None:
        seconds_of(self.job_timeout, "executor.job_timeout")
        seconds_of(self.silence, "executor.silence")

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """An executor for so many jobs on the same rows: in this process, or in as many workers as there is use for.

        A job that may have to be ended from outside runs in a worker, also where it is alone at a time (`apart`, or its
        own limits say so). Processes that a launcher has started train themselves.
        """
        from dlcli.distributed.launcher import is_launched
        from dlcli.executors.time_limits import Limits
        from dlcli.executors.workers import Workers
        from dlcli.process.supervision import is_supervised

        side_by_side = min(self.jobs, jobs)
        limits = Limits.of(config)
        # A command's parent process can end its only job; nobody can from a notebook.
        apart = apart or (limits.any_of_time and jobs > 1) or (limits.job is not None and not is_supervised())
        if is_launched() or (side_by_side <= 1 and not apart):
            return InProcess()
        places = share_out(side_by_side, config["trainer"]["accelerator"])
        return Workers(places, self.recycle, config, data)


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


# Whoever asks for threads asks one of these; they count only where they are set before the library is loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def share_out(jobs: int, accelerator: str) -> list[dict[str, str]]:
    """The environment of each of `jobs` processes: its threads, and one GPU each where there are any.

    Threads beyond the cores spin and wait for each other: two processes with two threads each on two cores were
    measured to take 300 times as long. So a user's own OMP_NUM_THREADS counts only where it is lower than the share.
    """
    threads = min(share(), max(1, cores() // jobs))
    environments = [dict.fromkeys(_THREADS, str(threads)) for _ in range(jobs)]
    # A single one has all devices, as it would in the driver's own process.
    devices = _gpus() if accelerator != "cpu" and jobs > 1 else []
    for index, environment in enumerate(environments):
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    return environments


def _gpus() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(index) for index in range(torch.cuda.device_count())]
