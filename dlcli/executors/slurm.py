"""`executor=slurm`: each job is a job of SLURM's. An extra: `pip install 'dlcli[slurm]'`."""

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
from dlcli.executors.job_messages import outcome, record_end, record_loss, refuse_sqlite_elsewhere
from dlcli.executors.remote_jobs import Following, do_followed_job
from dlcli.executors.slurm_leftovers import Cluster, end_earlier_job, end_job, slurm_folder
from dlcli.files.paths import display
from dlcli.job import Job
from dlcli.process.interrupts import preemptible
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger
from dlcli.training.observer import Observer

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.base import Executor

_SECONDS = 0.5  # between looks at the jobs
_TRIES = 20  # looks that may fail one after the other
_SIGNAL = "USR1"


@dataclass(frozen=True)
class Slurm:
    """The `executor` section. All machines have to see the same `runs_dir` and the same data.

    Args:
        jobs: how many jobs are in SLURM's queue at once.
        partition: of the cluster; None leaves it to SLURM.
        minutes: that a job may take; one that is not done then goes on in another.
        cpus: cores of each job, and its threads.
        gpus: GPUs of each job.
        memory_gb: memory of each job.
        setup: shell lines that are run before each job, such as `module load`.
        cluster: `local` starts processes on this machine instead, to try it out.
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
        """An executor for jobs, each of which reads the rows itself."""
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "submitit is not installed", "executor", "pip install 'dlcli[slurm]'"
            ) from error
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            hint = "Run dlcli where sbatch is, or choose executor=local."
            raise ConfigError("SLURM is not there", "executor", hint)
        return SlurmQueue(self)

    def queue(self, folder: Path) -> Any:
        """submitit's executor for one job, whose files it puts into the folder."""
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
    """The line by which a job's run goes on."""
    try:
        return resume_command(Ledger.load(Path(job.run_dir)))
    except DlcliError:  # what brought us here matters more
        return "dlcli resume RUN"


def machines(partition: str | None) -> set[str]:
    """SLURM's machines; none where it does not tell."""
    within = [f"--partition={partition}"] if partition else []
    with contextlib.suppress(OSError):
        command = ["sinfo", "--noheader", "--Node", "--format=%N", *within]
        return set(subprocess.run(command, capture_output=True, text=True).stdout.split())
    return set()


class SlurmQueue:
    """SLURM's queue; a job that is preempted saves its state and is handed in again."""

    def __init__(self, options: Slurm) -> None:
        self._options = options
        self._ended: dict[str, BaseException] = {}  # by the driver, and by what
        self._waiting: dict[str, tuple[Job, Observer, Future[Result], Any]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._following = Following()
        self._looking = threading.Thread(target=self._look, name="dlcli-slurm", daemon=True)

    def __enter__(self) -> Self:
        os.environ["SUBMITIT_PREEMPT_SIGNAL"] = _SIGNAL
        self._following.__enter__()
        self._looking.start()
        return self

    def submit(self, job: Job, observer: Observer) -> Future[Result]:
        """Hand a job in."""
        if not self._waiting and self._options.cluster == "slurm":
            refuse_sqlite_elsewhere(job, machines(self._options.partition))
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        self._hand_in(job, observer, future)
        return future

    def end(self, job: Job, why: BaseException) -> None:
        """End a job that waits or runs: SLURM asks it to end, and kills it after a while of its own."""
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
        self._looking.join()
        self._following.__exit__()
        if error is not None:  # nobody looks any more: what is ended before it has begun has not failed
            for *_, there in self._waiting.values():
                with contextlib.suppress(OSError):
                    end_job(there.job_id, self._options.cluster)

    def _hand_in(self, job: Job, observer: Observer, future: Future[Result]) -> None:
        folder = slurm_folder(Path(job.run_dir))
        end_earlier_job(folder, self._options.cluster, _resuming(job))
        self._following.follow(job, observer)
        try:
            there = self._options.queue(folder).submit(_there, job.to_json())
        except Exception as error:  # submitit's own, and those of sbatch
            hint = f"Look whether sbatch works here. Then: {_resuming(job)}"
            raise ExecutorError(f"SLURM takes no job: {first_line(error)}", "executor", hint) from error
        with self._lock:
            self._waiting[job.run_dir] = job, observer, future, there

    def _look(self) -> None:
        """Until it is over; nothing may end this thread while somebody waits for a job."""
        failures = 0
        while not self._over.wait(_SECONDS):
            try:
                self._look_once()
                failures = 0
            except Exception as error:
                failures += 1
                if failures == _TRIES:
                    self._give_up(error)
                    return

    def _look_once(self) -> None:
        with self._lock:
            ended = [entry for entry in self._waiting.values() if entry[-1].done()]
            for job, *_ in ended:
                del self._waiting[job.run_dir]
        for job, observer, future, there in ended:
            self._settle(job, observer, future, there)

    def _give_up(self, error: Exception) -> None:
        """Whoever waits hears that nothing more will come."""
        for job, _, future, _ in self._waiting.values():
            hint = f"Jobs that still run are ended when it goes on, once SLURM answers: {_resuming(job)}"
            future.set_exception(
                ExecutorError(f"SLURM does not answer: {first_line(error)}", "executor", hint)
            )

    def _settle(self, job: Job, observer: Observer, future: Future[Result], there: Any) -> None:
        try:
            self._following.forget(job)
            if (why := self._ended.pop(job.run_dir, None)) is not None:
                shutil.rmtree(slurm_folder(Path(job.run_dir)), ignore_errors=True)
                record_end(Path(job.run_dir), why)
                raise why
            message = self._last_message(job, there)
            if message["event"] == "interrupted" and message["signum"] == signal.SIGUSR1:
                self._hand_in(job, observer, future)  # it goes on from what it has saved
                return
            result = outcome(job, message)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def _last_message(self, job: Job, there: Any) -> dict[str, Any]:
        """What a job said at its end; then nobody needs submitit's files any more."""
        folder = slurm_folder(Path(job.run_dir))
        try:
            message: dict[str, Any] = there.result()
        except Exception as error:  # of submitit's own: no result, a time that is up, a node that is gone
            raise record_loss(job, first_line(error), f"SLURM's words are in {display(folder)}.") from error
        shutil.rmtree(folder, ignore_errors=True)
        return message


def _environment(cpus: int) -> list[str]:
    """Shell lines by which a job finds the same code, and has its share of threads."""
    path = os.pathsep.join(filter(None, sys.path))
    return [f"export PYTHONPATH={shlex.quote(path)} OMP_NUM_THREADS={cpus}"]


def _there(job_text: str) -> dict[str, Any]:
    """In SLURM's job."""
    with preemptible():
        return do_followed_job(Job.from_json(job_text))
