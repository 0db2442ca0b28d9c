"""`executor=slurm`: each job is a SLURM job. Requires `pip install submitit`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

from annotated_types import Ge, Gt

from dlcli.config.next_command import resume_command
from dlcli.errors import ConfigError, DlcliError, ExecutorError, first_line
from dlcli.events import Listener
from dlcli.executors.job_messages import outcome, record_end, record_loss, refuse_sqlite_elsewhere
from dlcli.executors.remote_jobs import Following, do_followed_job
from dlcli.executors.slurm_leftovers import Cluster, end_earlier_job, end_job, slurm_folder
from dlcli.files.paths import display
from dlcli.job import Job
from dlcli.process.interrupts import preemptible
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.executor import Executor

_SECONDS = 0.5  # between polls of the jobs
_TRIES = 20  # consecutive polls that may fail
_SIGNAL = "USR1"


@dataclass(frozen=True)
class Slurm:
    """Configuration section `executor` for SLURM. All machines must have access to the same `runs_dir` and data.

    Args:
        jobs: number of jobs in SLURM's queue at the same time.
        partition: partition of the cluster; None uses SLURM's default.
        minutes: time limit of a SLURM job; an unfinished job continues in another.
        cpus: cores per job, and its number of threads.
        gpus: GPUs per job.
        memory_gb: memory per job, in GB.
        setup: shell commands that run before each job, such as `module load`.
        cluster: `local` starts processes on this machine instead, for trying it out.
    """

    jobs: Annotated[int, Ge(1)] = 4
    partition: str | None = None
    minutes: Annotated[int, Ge(1)] = 240
    cpus: Annotated[int, Ge(1)] = 1
    gpus: Annotated[int, Ge(0)] = 0
    memory_gb: Annotated[float, Gt(0)] = 4
    setup: tuple[str, ...] = ()
    cluster: Cluster = "slurm"

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """Return an executor for jobs, each of which reads the rows itself."""
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ConfigError("submitit is not installed", "executor", "pip install submitit") from error
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            hint = "Run dlcli on a machine that has sbatch, or choose executor=local."
            raise ConfigError("SLURM is not available: sbatch was not found", "executor", hint)
        return SlurmQueue(self)

    def queue(self, folder: Path) -> Any:
        """Return submitit's executor for one job, with its files in the given folder."""
        import submitit

        queue = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        queue.update_parameters(
            name="dlcli",
            timeout_min=self.minutes,
            cpus_per_task=self.cpus,
            gpus_per_node=self.gpus,
            mem_gb=self.memory_gb,
            slurm_partition=self.partition,
            slurm_setup=[*_environment(self.cpus), *self.setup],
        )
        return queue


def _resuming(job: Job) -> str:
    """Return the command that resumes a job's run."""
    try:
        return resume_command(Ledger.load(Path(job.run_dir)))
    except DlcliError:  # the caller is about to report a more important error
        return "dlcli resume RUN"


def machines(partition: str | None) -> set[str]:
    """Return the names of SLURM's machines; an empty set if `sinfo` is not available."""
    within = [f"--partition={partition}"] if partition else []
    with contextlib.suppress(OSError):
        command = ["sinfo", "--noheader", "--Node", "--format=%N", *within]
        return set(subprocess.run(command, capture_output=True, text=True).stdout.split())
    return set()


class SlurmQueue:
    """Runs jobs in SLURM's queue; a preempted job saves its state and is submitted again."""

    def __init__(self, options: Slurm) -> None:
        self._options = options
        self._ended: dict[str, BaseException] = {}  # jobs that the driver has ended, with the reason
        self._waiting: dict[str, tuple[Job, Listener, Future[Result], Any]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._following = Following()
        self._polling = threading.Thread(target=self._poll, name="dlcli-slurm", daemon=True)

    def __enter__(self) -> Self:
        os.environ["SUBMITIT_PREEMPT_SIGNAL"] = _SIGNAL
        self._following.__enter__()
        self._polling.start()
        return self

    def submit(self, job: Job, listen: Listener) -> Future[Result]:
        """Submit a job and return its future."""
        if not self._waiting and self._options.cluster == "slurm":
            refuse_sqlite_elsewhere(job, machines(self._options.partition))
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        self._submit(job, listen, future)
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """End a queued or running job: SLURM signals it, and kills it after SLURM's own grace period."""
        with self._lock:
            entry = self._waiting.get(job.run_dir)
            is_new = entry is not None and job.run_dir not in self._ended
            if is_new:
                self._ended[job.run_dir] = why
        if entry is not None and is_new:
            end_job(entry[-1].job_id, self._options.cluster)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._polling.join()
        self._following.__exit__()
        # Polling has stopped, so a job that is ended before it starts is not recorded as failed.
        if error is not None:
            for *_, submitted in self._waiting.values():
                with contextlib.suppress(OSError):
                    end_job(submitted.job_id, self._options.cluster)

    def _submit(self, job: Job, listen: Listener, future: Future[Result]) -> None:
        folder = slurm_folder(Path(job.run_dir))
        end_earlier_job(folder, self._options.cluster, _resuming(job))
        self._following.follow(job, listen)
        try:
            submitted = self._options.queue(folder).submit(_run_remotely, job.to_json())
        except Exception as error:  # errors of submitit and of sbatch
            hint = f"Check that sbatch works here. Then: {_resuming(job)}"
            raise ExecutorError(f"SLURM rejected the job: {first_line(error)}", "executor", hint) from error
        with self._lock:
            self._waiting[job.run_dir] = job, listen, future, submitted

    def _poll(self) -> None:
        """Poll until the context is left; no error may end this thread while a caller waits for a job."""
        failures = 0
        while not self._over.wait(_SECONDS):
            try:
                self._poll_once()
                failures = 0
            except Exception as error:
                failures += 1
                if failures == _TRIES:
                    self._give_up(error)
                    return

    def _poll_once(self) -> None:
        with self._lock:
            ended = [entry for entry in self._waiting.values() if entry[-1].done()]
            for job, *_ in ended:
                del self._waiting[job.run_dir]
        for job, listen, future, submitted in ended:
            self._settle(job, listen, future, submitted)

    def _give_up(self, error: Exception) -> None:
        """Fail the futures of all unfinished jobs."""
        for job, _, future, _ in self._waiting.values():
            hint = f"Once SLURM answers, resume; jobs that still run are ended then: {_resuming(job)}"
            future.set_exception(
                ExecutorError(f"SLURM does not answer: {first_line(error)}", "executor", hint)
            )

    def _settle(self, job: Job, listen: Listener, future: Future[Result], submitted: Any) -> None:
        try:
            self._following.forget(job)
            if (why := self._ended.pop(job.run_dir, None)) is not None:
                shutil.rmtree(slurm_folder(Path(job.run_dir)), ignore_errors=True)
                record_end(Path(job.run_dir), why)
                raise why
            message = self._last_message(job, submitted)
            if message["event"] == "interrupted" and message["signum"] == signal.SIGUSR1:
                self._submit(job, listen, future)  # it continues from its saved state
                return
            result = outcome(job, message)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def _last_message(self, job: Job, submitted: Any) -> dict[str, Any]:
        """Return the message at a job's end, and remove submitit's files."""
        folder = slurm_folder(Path(job.run_dir))
        try:
            message: dict[str, Any] = submitted.result()
        except Exception as error:  # submitit's errors: no result, time limit exceeded, node lost
            raise record_loss(job, first_line(error), f"SLURM's output is in {display(folder)}.") from error
        shutil.rmtree(folder, ignore_errors=True)
        return message


def _environment(cpus: int) -> list[str]:
    """Return shell commands that set a job's module path and number of threads."""
    path = os.pathsep.join(filter(None, sys.path))
    return [f"export PYTHONPATH={shlex.quote(path)} OMP_NUM_THREADS={cpus}"]


def _run_remotely(job_text: str) -> dict[str, Any]:
    """Run a job within a SLURM job."""
    with preemptible():
        return do_followed_job(Job.from_json(job_text))
