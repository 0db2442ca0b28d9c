"""End SLURM jobs that outlived a killed driver, before their runs are submitted again."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal

from dlcli.errors import ExecutorError

Cluster = Literal["slurm", "local"]

# Suffix of submitit's file for a submitted job. It follows the job ID, which for `cluster: local` is a process ID.
_SUBMITTED = "_submitted.pkl"

_STATES = "PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"
_SHOW: dict[Cluster, list[str]] = {
    "slurm": ["squeue", "--noheader", f"--states={_STATES}", "--jobs"],
    "local": ["ps", "-o", "args=", "-p"],
}
_END: dict[Cluster, str] = {"slurm": "scancel", "local": "kill"}

# Seconds that a job has to end: by default SLURM kills it after 30.
_PATIENCE = 120.0
_PAUSE = 0.5


def slurm_folder(run_dir: Path) -> Path:
    """Return the folder of submitit's files, which is next to the run's own record."""
    return run_dir.parent / ".slurm"


def end_earlier_job(folder: Path, cluster: Cluster, resuming: str = "dlcli resume RUN") -> None:
    """End the job that an earlier driver left, wait until it is gone, and remove its files.

    Args:
        folder: folder of submitit's files.
        cluster: where the job runs.
        resuming: the command to suggest if the job does not end.

    Raises:
        ExecutorError: The job does not end, or SLURM does not answer.
    """
    for file in folder.glob(f"*{_SUBMITTED}"):
        job_id = file.name.removesuffix(_SUBMITTED)
        if _lives(job_id, cluster):
            end_job(job_id, cluster)
            _wait_for_end(job_id, cluster, resuming)
    shutil.rmtree(folder, ignore_errors=True)


def end_job(job_id: str, cluster: Cluster) -> None:
    """Signal a job to end; its run is recorded as killed."""
    subprocess.run([_END[cluster], job_id], capture_output=True, check=False)


def _wait_for_end(job_id: str, cluster: Cluster, resuming: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _lives(job_id, cluster):
        if time.monotonic() > deadline:
            hint = f"End it: {_END[cluster]} {job_id}. Then resume: {resuming}"
            raise ExecutorError(f"job {job_id} of an earlier command does not end", "executor", hint)
        time.sleep(_PAUSE)


def _lives(job_id: str, cluster: Cluster) -> bool:
    """Return whether a job is queued or running."""
    shown = subprocess.run([*_SHOW[cluster], job_id], capture_output=True, text=True, check=False)
    if cluster == "local":
        return "submitit" in shown.stdout  # otherwise another process has the process ID by now
    if shown.returncode != 0 and "Invalid job id" not in shown.stderr:
        raise ExecutorError(f"SLURM does not answer: {shown.stderr.strip()}", "executor", "Try again later.")
    return bool(shown.stdout.strip())
