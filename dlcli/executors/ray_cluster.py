"""`executor=ray`: many machines, or this one through Ray. An extra: `pip install 'dlcli[ray]'`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

from annotated_types import Ge, Gt

from dlcli.config.environment import values_of
from dlcli.errors import ConfigError, Interrupted, first_line
from dlcli.executors.job_messages import outcome, record_end, record_loss, refuse_sqlite_elsewhere
from dlcli.executors.remote_jobs import Following, do_followed_job
from dlcli.formatting import counted
from dlcli.job import Job
from dlcli.result import Result
from dlcli.tracking.connection import URI_VARIABLE
from dlcli.training.observer import Observer

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.base import Executor

# Seconds that stopped jobs have to write down how they ended; then their processes are killed.
_LAST_WORDS, _DYING = 6.0, 2.0


@dataclass(frozen=True)
class Ray:
    """The `executor` section.

    All machines have to see the same `runs_dir`, on a shared disk.

    Args:
        jobs: how many jobs at once.
        address: of a cluster (HOST:PORT, or auto for the one that runs here); None starts Ray on this machine.
        cpus: that each job gets; also its threads.
        gpus: that each job gets, or a share of one.
        retries: how often a job goes on elsewhere whose machine or process has died.
    """

    jobs: Annotated[int, Ge(1)] = 4
    address: str | None = None
    cpus: Annotated[float, Gt(0)] = 1
    gpus: Annotated[float, Ge(0)] = 0
    retries: Annotated[int, Ge(0)] = 3

    @property
    def opening(self) -> str:
        """What a person should know before it is opened, for that takes its time."""
        where = f"Ray answers at {self.address}" if self.address else "Ray starts on this machine"
        return f"Until {where} it can take half a minute; then up to {counted(self.jobs, 'job')} run at once."

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """An executor for jobs on the same rows."""
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise ConfigError("ray is not installed", "executor", "pip install 'dlcli[ray]'") from error
        return RayPool(self, config["dataset"], data)


class RayPool:
    """Jobs as Ray's tasks: a place that is free takes the next one; what dies with its machine goes on elsewhere."""

    def __init__(self, options: Ray, dataset: Mapping[str, Any], data: Data) -> None:
        self._options = options
        self._dataset = dict(dataset)
        self._data = data
        self._running: dict[str, Any] = {}
        self._ended: dict[str, BaseException] = {}  # by the driver, and by what
        self._following = Following()

    def __enter__(self) -> Self:
        import ray

        self._owns = not ray.is_initialized()
        if self._owns:
            _start(self._options)
        task: Any = ray.remote(_there)
        task = task.options(
            num_cpus=self._options.cpus, num_gpus=self._options.gpus, max_retries=self._options.retries
        )
        store = os.environ.get(URI_VARIABLE, "")
        self._submit = partial(task.remote, dataset=self._dataset, data=ray.put(self._data), store=store)
        self._following.__enter__()
        return self

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Hand a job to Ray."""
        import ray

        if not self._running:
            nodes = (node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"])
            refuse_sqlite_elsewhere(job, set(nodes))
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        self._following.follow(job, observer)
        ref = self._running[job.run_dir] = self._submit(
            job_text=job.to_json(), environment=values_of(job.config)
        )
        ref.future().add_done_callback(partial(self._settle, job, future))
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """End a job that runs; so does its process, which Ray replaces."""
        import ray

        if (ref := self._running.get(job.run_dir)) is not None and job.run_dir not in self._ended:
            self._ended[job.run_dir] = why
            ray.cancel(ref, force=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        refs = list(self._running.values())
        if error is not None and refs:
            for ref in refs:
                ray.cancel(ref)
            _, left = ray.wait(refs, num_returns=len(refs), timeout=_LAST_WORDS)
            for ref in left:
                ray.cancel(ref, force=True)
            if left:
                ray.wait(left, num_returns=len(left), timeout=_DYING)
        self._following.__exit__()
        if self._owns:
            ray.shutdown()

    def _settle(self, job: Job, future: Future[Result], done: Future[dict[str, Any]]) -> None:
        import ray

        self._running.pop(job.run_dir, None)
        if (why := self._ended.pop(job.run_dir, None)) is not None:
            self._following.forget(job)
            record_end(Path(job.run_dir), why)
            future.set_exception(why)
            return
        try:
            self._following.forget(job)
            future.set_result(outcome(job, done.result()))
        except ray.exceptions.TaskCancelledError:
            future.set_exception(Interrupted(signal.SIGTERM))
        except ray.exceptions.RayError as error:
            hint = (
                f"It was tried {self._options.retries + 1} times: look at the machines, and at their memory."
            )
            future.set_exception(record_loss(job, first_line(error), hint))
        except BaseException as error:
            future.set_exception(error)


def _there(
    job_text: str, environment: dict[str, str], dataset: dict[str, Any], data: Data, store: str
) -> dict[str, Any]:
    """In a process of Ray's, which does many jobs one after the other, and has the environment of its machine.

    `environment` is what the job reads of the driver's.
    """
    from copy import deepcopy

    os.environ.update(environment)

    from dlcli.datasets.raw_rows import has_loaded, preload

    os.environ[URI_VARIABLE] = store
    if not has_loaded(dataset):
        preload(dataset, deepcopy(data))  # what Ray hands out cannot be written to
    return do_followed_job(Job.from_json(job_text))


def _start(options: Ray) -> None:
    import ray

    # Reporting usage over the network is the user's to decide.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    path = os.pathsep.join(filter(None, sys.path))
    arguments: dict[str, Any] = {"address": options.address}
    if options.address is None:
        arguments = {"num_cpus": max(1, round(options.jobs * options.cpus)), "include_dashboard": False}
    with _own_signals():
        try:
            ray.init(
                **arguments,
                runtime_env={"env_vars": {"PYTHONPATH": path}},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            hint = "Start it there (ray start --head), or leave executor.address out to use this machine."
            raise ConfigError(
                f"no Ray cluster answers: {first_line(error)}", "executor.address", hint
            ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; dlcli ends in an orderly way on its own."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
