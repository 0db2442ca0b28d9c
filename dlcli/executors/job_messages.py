"""Jobs in another process: the messages at their ends, and their translation into results or errors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dlcli.errors import (
    ConfigError,
    DlcliError,
    Interrupted,
    Pruned,
    TrainingError,
    describe_error,
    restore_error,
)
from dlcli.events import Listener
from dlcli.files.paths import display
from dlcli.job import Job, pausing_job, run_job
from dlcli.process.interrupts import interruptible
from dlcli.result import Result
from dlcli.runs.folder import read_result
from dlcli.stacking.together import Together
from dlcli.tracking.connection import sqlite_file
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder


def do_job(job: Job, listen: Listener) -> dict[str, Any]:
    """Run a job in the worker, and return the message that describes its outcome."""
    try:
        with interruptible():
            return _end(run_job(job, listen))
    except Interrupted as interrupt:
        return {"event": "interrupted", "signum": int(interrupt.signum)}
    except Exception as error:
        return _end(error)


def do_jobs(
    jobs: Sequence[Job], listeners: Sequence[Listener], tell: Callable[[int, Mapping[str, Any]], None]
) -> None:
    """Run jobs in the worker; those of one shape are trained as one model.

    `tell` is called with the place of each job that has ended and the message that describes its outcome. Jobs that are
    interrupted are told once all of them have recorded it: the driver may then end this process.
    """
    if len(jobs) == 1:
        tell(0, do_job(jobs[0], listeners[0]))
        return
    left = dict.fromkeys(range(len(jobs)))
    together = Together([pausing_job(job, listen) for job, listen in zip(jobs, listeners, strict=True)])
    try:
        with interruptible(), closing(together.outcomes()) as outcomes:
            for place, ended in outcomes:
                tell(place, _end(ended))
                del left[place]
    except Interrupted as interrupt:
        for place in left:
            tell(place, {"event": "interrupted", "signum": int(interrupt.signum)})


def _end(ended: Result | Exception) -> dict[str, Any]:
    if isinstance(ended, Pruned):
        return {"event": "pruned"}
    if isinstance(ended, Exception):
        return {"event": "failed", **describe_error(ended)}
    return {"event": "done"}


def outcome(job: Job, message: Mapping[str, Any]) -> Result:
    """Return the job's result in the driver, or raise the exception of the job in the worker."""
    if message["event"] == "pruned":
        raise Pruned
    if message["event"] == "interrupted":
        raise Interrupted(message["signum"])
    if message["event"] == "failed":
        raise restore_error(message)
    return read_result(Path(job.run_dir))


def refuse_sqlite_elsewhere(job: Job, hosts: Collection[str]) -> None:
    """Refuse to run jobs on other machines with a SQLite store: its locks do not work across machines.

    Args:
        job: the job about to be submitted.
        hosts: names of the machines that may run it.

    Raises:
        ConfigError: The store is SQLite, and one of the machines is not this one.
    """
    here = os.uname().nodename.partition(".")[0]
    is_elsewhere = any(host.partition(".")[0] != here for host in hosts)
    if is_elsewhere and sqlite_file(Ledger.load(Path(job.run_dir)).store_uri):
        raise ConfigError(
            f"a SQLite store cannot be written to from several machines ({', '.join(sorted(hosts))})",
            "MLFLOW_TRACKING_URI",
            "Use a server or PostgreSQL: http://HOST:5000, or postgresql://USER@HOST/DATABASE.",
        )


def record_loss(job: Job, ending: str, hint: str) -> DlcliError:
    """Record the run of a job whose process ended without a message as failed, and return the error."""
    return record_failed_job(job, TrainingError(f"the worker process ended with {ending}", hint=hint))


def record_failed_job(job: Job, error: DlcliError) -> DlcliError:
    """Record the run of a job whose process cannot do so as failed; return the error with a note on its folder."""
    ledger = Ledger.load(Path(job.run_dir))
    where = display(ledger.run_dir)
    error.add_note(f"The run {ledger.run_name} is FAILED; its progress is kept in {where}")
    record_end(Path(job.run_dir), error)
    return error


def record_end(run_dir: Path, end: BaseException) -> None:
    """Record the end of a run whose process has ended."""

    ledger = Ledger.load(run_dir)
    with contextlib.suppress(DlcliError, Interrupted), Recorder(run_dir, system_metrics=False) as recorder:
        recorder.ledger.update(started_at=ledger.started_at or recorder.ledger.started_at)
        raise end
