"""`executor=ray`: jobs on a Ray cluster, or on this machine through Ray. Requires `pip install 'dlcli[ray]'`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

from annotated_types import Ge, Gt

from dlcli.config.environment import values_of
from dlcli.datasets.raw_rows import has_loaded, preload
from dlcli.errors import ConfigError, Interrupted, first_line
from dlcli.events import Listener
from dlcli.executors.job_messages import outcome, record_end, record_loss, refuse_sqlite_elsewhere
from dlcli.executors.remote_jobs import Following, do_followed_job
from dlcli.formatting import counted
from dlcli.job import Job
from dlcli.result import Result
from dlcli.tracking.connection import URI_VARIABLE

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.base import Executor

# Seconds that stopped jobs have to record their end before their processes are killed, and to be gone after that.
_GRACE, _KILL_WAIT = 6.0, 2.0


@dataclass(frozen=True)
class Ray:
    """Configuration section `executor` for Ray.

    All machines must have access to the same `runs_dir`, on a shared disk.

    Args:
        jobs: number of jobs that run at the same time.
        address: address of a cluster (HOST:PORT, or auto for the one on this machine); None starts Ray here.
        cpus: cores per job, and its number of threads.
        gpus: GPUs per job; may be a fraction.
        retries: how often a job whose machine or process has died continues elsewhere.
    """

    jobs: Annotated[int, Ge(1)] = 4
    address: str | None = None
    cpus: Annotated[float, Gt(0)] = 1
    gpus: Annotated[float, Ge(0)] = 0
    retries: Annotated[int, Ge(0)] = 3

    @property
    def opening(self) -> str:
        """A note for the user, since opening the executor takes time."""
        action = f"Connecting to Ray at {self.address}" if self.address else "Starting Ray on this machine"
        return (
            f"{action} can take half a minute; then up to {counted(self.jobs, 'job')} run at the same time."
        )

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """Return an executor for jobs on the same rows."""
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise ConfigError("ray is not installed", "executor", "pip install 'dlcli[ray]'") from error
        return RayPool(self, config["dataset"], data)


class RayPool:
    """Runs jobs as Ray tasks; a job whose machine dies continues on another."""

    def __init__(self, options: Ray, dataset: Mapping[str, Any], data: Data) -> None:
        self._options = options
        self._dataset = dict(dataset)
        self._data = data
        self._running: dict[str, Any] = {}
        self._ended: dict[str, BaseException] = {}  # jobs that the driver has ended, with the reason
        self._following = Following()

    def __enter__(self) -> Self:
        import ray

        self._owns = not ray.is_initialized()
        if self._owns:
            _start(self._options)
        task: Any = ray.remote(_run_remotely)
        task = task.options(
            num_cpus=self._options.cpus, num_gpus=self._options.gpus, max_retries=self._options.retries
        )
        store = os.environ.get(URI_VARIABLE, "")
        self._submit = partial(task.remote, dataset=self._dataset, data=ray.put(self._data), store=store)
        self._following.__enter__()
        return self

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Submit a job to Ray and return its future."""
        import ray

        if not self._running:
            nodes = (node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"])
            refuse_sqlite_elsewhere(job, set(nodes))
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        self._following.follow(job, listen)
        ref = self._running[job.run_dir] = self._submit(
            job_text=job.to_json(), environment=values_of(job.config)
        )
        ref.future().add_done_callback(partial(self._settle, job, future))
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """End a running job, together with its process, which Ray replaces."""
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
            _, unfinished = ray.wait(refs, num_returns=len(refs), timeout=_GRACE)
            for ref in unfinished:
                ray.cancel(ref, force=True)
            if unfinished:
                ray.wait(unfinished, num_returns=len(unfinished), timeout=_KILL_WAIT)
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
            hint = f"It was tried {self._options.retries + 1} times: check the machines and their memory."
            future.set_exception(record_loss(job, first_line(error), hint))
        except BaseException as error:
            future.set_exception(error)


def _run_remotely(
    job_text: str, environment: dict[str, str], dataset: dict[str, Any], data: Data, store: str
) -> dict[str, Any]:
    """Run a job in one of Ray's processes, which run many jobs and have the environment of their machine.

    Args:
        job_text: the job as JSON.
        environment: the driver's environment variables that the job reads.
        dataset: the `dataset` section.
        data: the dataset.
        store: address of the MLflow store.
    """
    os.environ.update(environment)
    os.environ[URI_VARIABLE] = store
    if not has_loaded(dataset):
        preload(dataset, deepcopy(data))  # arrays in Ray's object store are read-only
    return do_followed_job(Job.from_json(job_text))


def _start(options: Ray) -> None:
    import ray

    # Do not send usage statistics unless the user has enabled it.
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
            hint = "Start one there (ray start --head), or leave out executor.address to use this machine."
            raise ConfigError(
                f"no Ray cluster answers: {first_line(error)}", "executor.address", hint
            ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Restore dlcli's signal handlers, which `ray.init` replaces."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
