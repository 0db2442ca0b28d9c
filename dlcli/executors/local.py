"""`executor=local`: this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from annotated_types import Ge, Gt

from dlcli.config.timespan import seconds_of
from dlcli.distributed.launcher import is_launched
from dlcli.events import Event, Listener, TrainingEnded, TrainingStarted
from dlcli.executors.at_once import jobs_at_once
from dlcli.executors.early import drop_early
from dlcli.executors.stack_size import JobLayout, job_layout
from dlcli.executors.stacked_jobs import StackedJobs
from dlcli.executors.time_limits import Limits, overran, too_long
from dlcli.executors.workers import Workers
from dlcli.job import Job, pausing_job
from dlcli.process.cores import cores, share
from dlcli.process.supervision import is_supervised, limited
from dlcli.result import Result
from dlcli.training.due_steps import run_alone

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.executor import Executor


@dataclass(frozen=True)
class Local:
    """Configuration section `executor` for this machine.

    Args:
        jobs: number of jobs that run at the same time, or `auto` (`jobs_at_once`).
        stack: whether jobs of one shape in a process are trained together, as one model (`job_layout`), or how many at
            most; `auto` if it saves time.
        recycle: number of jobs after which a worker process is replaced.
        job_timeout: time after which a job is ended and counts as failed: seconds, or text such as 30m, 2h.
        silence: time after which an unresponsive worker process is replaced; None waits without limit.
    """

    jobs: Annotated[int, Ge(1)] | Literal["auto"] = 1
    stack: bool | Annotated[int, Ge(1)] | Literal["auto"] = False
    recycle: Annotated[int, Ge(1)] = 100
    job_timeout: Annotated[float, Gt(0)] | str | None = None
    silence: Annotated[float, Gt(0)] | str | None = "10m"

    def __post_init__(self) -> None:
        seconds_of(self.job_timeout, "executor.job_timeout")
        seconds_of(self.silence, "executor.silence")

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """Return an executor for jobs on the same rows: in this process, or in worker processes.

        A job that may have to be ended from outside runs in a worker even if jobs run one at a time. In processes that
        a launcher has started, jobs always run in the process itself.

        Args:
            config: configuration of the jobs.
            data: the dataset.
            jobs: number of jobs to expect.
            apart: whether the caller needs to end jobs from outside.
        """
        layout = JobLayout(jobs_at_once(config, jobs, data), 1) if apart else job_layout(config, jobs, data)
        at_once, stack = layout
        if at_once == 1 and stack > 1:
            drop_early()
            return StackedJobs(stack)
        limits = Limits.of(config)
        # The parent process of a command can end its only job; in a notebook there is no such process.
        apart = apart or (limits.any_of_time and jobs > 1) or (limits.job is not None and not is_supervised())
        if is_launched() or (at_once <= 1 and not apart):
            drop_early()
            return InProcess()
        places = share_out(at_once, config["trainer"]["accelerator"])
        (alone,) = share_out(1, config["trainer"]["accelerator"])
        return Workers(places, self.recycle, config, data, alone, stack)


class InProcess:
    """Runs each job in this process, within `submit`; an interruption propagates to the caller."""

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Run the job and return a completed future.

        The command's parent process, if there is one, ends the process when a time limit is exceeded.
        """
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        limits = Limits.of(job.config)
        with ExitStack() as stack:
            if limits.job is not None:
                key = "executor.job_timeout"
                stack.enter_context(limited(key, limits.job, too_long(key, limits.job).problems[0].message))
            fit = stack.enter_context(ExitStack())

            def limiting(event: Event) -> None:
                if isinstance(event, TrainingStarted) and limits.fit is not None:
                    fit.enter_context(limited("trainer.max_time", limits.fit, overran(limits.fit)))
                elif isinstance(event, TrainingEnded):
                    fit.close()
                listen(event)

            try:
                future.set_result(run_alone(pausing_job(job, limiting)))
            except Exception as error:
                future.set_exception(error)
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """Do nothing: a job is done when `submit` returns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: no job is running."""


# Libraries read their number of threads from these variables when they are loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def share_out(jobs: int, accelerator: str) -> list[dict[str, str]]:
    """Return the environment variables of each of `jobs` processes: its number of threads and, if available, its GPU.

    Oversubscribed threads spin while they wait for each other: two processes with two threads each on two cores took
    300 times as long. Therefore a user's OMP_NUM_THREADS applies only where it is below the process's share of cores.
    """
    threads = min(share(), max(1, cores() // jobs))
    environments = [dict.fromkeys(_THREADS, str(threads)) for _ in range(jobs)]
    # A single process may use all devices, as the driver itself could.
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
