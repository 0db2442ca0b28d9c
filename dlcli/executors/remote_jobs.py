"""Jobs on other machines, followed through the files that they write to their run folders on a shared disk."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError, describe_error
from dlcli.executors.job_messages import do_job
from dlcli.job import Job
from dlcli.process.quiet import quiet
from dlcli.tracking.history import HISTORY_FILE, read_history
from dlcli.tracking.ledger import LEDGER_FILE, atomic_write
from dlcli.training.observer import Observer, Plan

_SECONDS = 0.3  # between polls
# Written by the job: its plan. Written by the driver: a request to abandon the job.
_PLAN, _HOPELESS = ".plan.json", ".hopeless"


def do_followed_job(job: Job) -> dict[str, Any]:
    """Run a job on the remote machine, and return the message that describes its outcome."""

    run_dir = Path(job.run_dir)
    if not (run_dir / LEDGER_FILE).exists():
        hint = "Put runs_dir on a disk that all machines share: --runs-dir DIR."
        unseen = ConfigError("the run's folder does not exist on this machine", job.run_dir, hint)
        return {"event": "failed", **describe_error(unseen)}
    with quiet():
        return do_job(job, _Noting(run_dir))


class _Noting(Observer):
    """The job's side: writes the plan to a file; the epochs are in the run's history anyway."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def prepared(self, plan: Plan) -> None:
        atomic_write(self._run_dir / _PLAN, json.dumps(asdict(plan)), durable=False)

    @property
    def hopeless(self) -> bool:
        return (self._run_dir / _HOPELESS).exists()


@dataclass
class _Followed:
    observer: Observer
    offset: int
    error: Exception | None = None


class Following(threading.Thread):
    """The driver's side: polls the files of running jobs and notifies their observers. A context manager."""

    def __init__(self) -> None:
        super().__init__(name="dlcli-following", daemon=True)
        self._jobs: dict[Path, _Followed] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Following:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def follow(self, job: Job, observer: Observer) -> None:
        """Follow a job that is about to start or continue; what it wrote before is ignored."""
        run_dir = Path(job.run_dir)
        for leftover in (_PLAN, _HOPELESS):
            (run_dir / leftover).unlink(missing_ok=True)
        file = run_dir / HISTORY_FILE
        with self._lock:
            self._jobs[run_dir] = _Followed(observer, file.stat().st_size if file.exists() else 0)

    def forget(self, job: Job) -> None:
        """Report what a finished job wrote last, and stop following it.

        Raises:
            Exception: Whatever its observer has raised.
        """
        run_dir = Path(job.run_dir)
        with self._lock:
            followed = self._jobs.pop(run_dir, None)
            if followed is not None:
                _report(run_dir, followed)
        for leftover in (_PLAN, _HOPELESS):
            (run_dir / leftover).unlink(missing_ok=True)
        if followed is not None and followed.error is not None:
            raise followed.error

    def run(self) -> None:
        """Poll until the context is left."""
        while not self._over.wait(_SECONDS):
            self.look()

    def look(self) -> None:
        """Poll all jobs once."""
        with self._lock:
            for run_dir, followed in self._jobs.items():
                _report(run_dir, followed)


def _report(run_dir: Path, followed: _Followed) -> None:
    """Report what is new of one job. An error is kept for `forget`, since the thread also follows other jobs."""
    if followed.error is not None:
        return
    try:
        _read_news(run_dir, followed)
    except OSError:
        pass  # a shared disk may be unavailable for a moment: the next poll continues from here
    except Exception as error:
        followed.error = error


def _read_news(run_dir: Path, followed: _Followed) -> None:
    with contextlib.suppress(OSError, ValueError):
        plan: Mapping[str, Any] = json.loads((run_dir / _PLAN).read_text())
        (run_dir / _PLAN).unlink()
        followed.observer.prepared(Plan(**plan))
    for line in read_history(run_dir, followed.offset):
        followed.offset = line.end
        if "train/loss" in line.metrics:
            followed.observer.finished_epoch(line.step, line.metrics)
    if followed.observer.hopeless:
        (run_dir / _HOPELESS).touch()
