"""SLURM's jobs outlive a driver that is killed: one that goes on ends them before it hands the same run in again."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal

from dlcli.errors import ExecutorError

Cluster = Literal["slurm", "local"]

# submitit's file of a job that was handed in: its number stands before it; where the cluster is local, a process's.
_HANDED_IN = "_submitted.pkl"

_STATES = "PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"
_SHOW: dict[Cluster, list[str]] = {
    "slurm": ["squeue", "--noheader", f"--states={_STATES}", "--jobs"],
    "local": ["ps", "-o", "args=", "-p"],
}
_END: dict[Cluster, str] = {"slurm": "scancel", "local": "kill"}

# Seconds that a job has to end: SLURM itself gives it 30 by default, then kills it.
_PATIENCE = 120.0
_PAUSE = 0.5


def slurm_folder(run_dir: Path) -> Path:
    """Where submitit's files of a run's job lie, beside what the run itself records."""
    return run_dir.parent / ".slurm"


def end_earlier_job(folder: Path, cluster: Cluster, goes_on: str = "dlcli resume RUN") -> None:
    """End the job that a driver before this one left, wait until it is gone, and remove its files.

    `goes_on` is the line by which the run goes on, if it does not end.

    Raises:
        ExecutorError: it does not end, or SLURM does not say.
    """
    for file in folder.glob(f"*{_HANDED_IN}"):
        job_id = file.name.removesuffix(_HANDED_IN)
        if _lives(job_id, cluster):
            end_job(job_id, cluster)
            _wait_for_end(job_id, cluster, goes_on)
    shutil.rmtree(folder, ignore_errors=True)


def end_job(job_id: str, cluster: Cluster) -> None:
    """Ask a job to end: its run is recorded as killed."""
    subprocess.run([_END[cluster], job_id], capture_output=True, check=False)


def _wait_for_end(job_id: str, cluster: Cluster, goes_on: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _lives(job_id, cluster):
        if time.monotonic() > deadline:
            hint = f"End it: {_END[cluster]} {job_id}. Then go on with: {goes_on}"
            raise ExecutorError(
                f"job {job_id}, which an earlier command left, does not end", "executor", hint
            )
        time.sleep(_PAUSE)


def _lives(job_id: str, cluster: Cluster) -> bool:
    """Whether a job waits or runs."""
    shown = subprocess.run([*_SHOW[cluster], job_id], capture_output=True, text=True, check=False)
    if cluster == "local":
        return "submitit" in shown.stdout  # else another process has its number by now
    if shown.returncode != 0 and "Invalid job id" not in shown.stderr:
        raise ExecutorError(f"SLURM does not answer: {shown.stderr.strip()}", "executor", "Try again later.")
    return bool(shown.stdout.strip())
