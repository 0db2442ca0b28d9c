"""SLURM's jobs outlive a driver that is killed: one that goes on ends them before it hands the same run in again."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Literal

from dlcli.errors import ExecutorError
from dlcli.tracking.ledger import atomic_write

Cluster = Literal["slurm", "local"]

# In a run's folder while its job waits or runs: the job's number; where the cluster is local, that of a process.
_NOTE = ".slurm_job"

_STATES = "PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"
_SHOW: dict[Cluster, list[str]] = {
    "slurm": ["squeue", "--noheader", f"--states={_STATES}", "--jobs"],
    "local": ["ps", "-o", "args=", "-p"],
}
_END: dict[Cluster, str] = {"slurm": "scancel", "local": "kill"}

# Seconds that a job has to end: SLURM itself gives it 30 by default, then kills it.
_PATIENCE = 120.0
_PAUSE = 0.5


def note_job(run_dir: Path, job_id: str) -> None:
    """A run's job was handed in."""
    atomic_write(run_dir / _NOTE, job_id, durable=False)


def forget_job(run_dir: Path) -> None:
    """A run's job is at its end."""
    (run_dir / _NOTE).unlink(missing_ok=True)


def end_earlier_job(run_dir: Path, cluster: Cluster) -> None:
    """End the job that a driver before this one left to a run, and wait until it is gone.

    Raises:
        ExecutorError: it does not end, or SLURM does not say.
    """
    try:
        job_id = (run_dir / _NOTE).read_text()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + _PATIENCE
    if _lives(job_id, cluster):
        subprocess.run([_END[cluster], job_id], capture_output=True, check=False)
        while _lives(job_id, cluster):
            if time.monotonic() > deadline:
                hint = f"End it: {_END[cluster]} {job_id}. Then go on."
                raise ExecutorError(f"job {job_id} of before still trains this run", str(run_dir), hint)
            time.sleep(_PAUSE)
    forget_job(run_dir)


def _lives(job_id: str, cluster: Cluster) -> bool:
    """Whether a job waits or runs."""
    shown = subprocess.run([*_SHOW[cluster], job_id], capture_output=True, text=True, check=False)
    if cluster == "local":
        return "submitit" in shown.stdout  # else another process has its number by now
    if shown.returncode != 0 and "Invalid job id" not in shown.stderr:
        raise ExecutorError(f"SLURM does not answer: {shown.stderr.strip()}", "executor", "Try again later.")
    return bool(shown.stdout.strip())
