"""A pool of jobs as Ray tasks. Importing this module requires Ray."""

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
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import ray

from dlcli.config.environment import values_of
from dlcli.datasets.raw_rows import has_loaded, preload
from dlcli.errors import ConfigError, Interrupted, first_line
from dlcli.events import Listener
from dlcli.executors.job_messages import outcome, record_end, record_loss, refuse_sqlite_elsewhere
from dlcli.executors.remote_jobs import Following, do_followed_job
from dlcli.job import Job
from dlcli.result import Result
from dlcli.tracking.connection import URI_VARIABLE

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Seconds that stopped jobs have to record their end before their processes are killed, and to be gone after that.
_GRACE, _KILL_WAIT = 6.0, 2.0


class RayPool:
    """Runs jobs as Ray tasks; a job whose machine dies continues on another.

    Args:
        address: address of a cluster; None starts Ray on this machine.
        cores: number of cores of a Ray that is started here.
        resources: options of Ray for each job: `num_cpus`, `num_gpus` and `max_retries`.
        dataset: the `dataset` section.
        data: the dataset.
    """

    def __init__(
        self,
        address: str | None,
        cores: int,
        resources: Mapping[str, Any],
        dataset: Mapping[str, Any],
        data: Data,
    ) -> None:
        self._address = address
        self._cores = cores
        self._resources = dict(resources)
        self._dataset = dict(dataset)
        self._data = data
        self._running: dict[str, Any] = {}
        self._ended: dict[str, BaseException] = {}  # jobs that the driver has ended, with the reason
        self._following = Following()

    def __enter__(self) -> Self:
        self._owns = not ray.is_initialized()
        if self._owns:
            _start(self._address, self._cores)
        remote: Any = ray.remote(_run_remotely)
        task = remote.options(**self._resources)
        store = os.environ.get(URI_VARIABLE, "")
        self._submit = partial(task.remote, dataset=self._dataset, data=ray.put(self._data), store=store)
        self._following.__enter__()
        return self

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Submit a job to Ray and return its future."""
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
        if (ref := self._running.get(job.run_dir)) is not None and job.run_dir not in self._ended:
            self._ended[job.run_dir] = why
            ray.cancel(ref, force=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            hint = f"It was tried {self._resources['max_retries'] + 1} times: check the machines and their memory."
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


def _start(address: str | None, cores: int) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    arguments: dict[str, Any] = {"address": address}
    if address is None:
        arguments = {"num_cpus": cores, "include_dashboard": False}
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
