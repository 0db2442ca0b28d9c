"""Jobs on other machines, followed by what they write into their runs' folders, which all machines see."""

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
from dlcli.tracking.history import HISTORY_FILE, read_history
from dlcli.tracking.ledger import LEDGER_FILE, atomic_write
from dlcli.training.observer import Observer, Plan

_SECONDS = 0.3  # between looks
# From the job: what it is about to train. From the driver: that it is to be given up.
_PLAN, _HOPELESS = ".plan.json", ".hopeless"


def do_followed_job(job: Job) -> dict[str, Any]:
    """There: do the job; the message that says what came of it."""
    from dlcli.process.quiet import quiet

    run_dir = Path(job.run_dir)
    if not (run_dir / LEDGER_FILE).exists():
        hint = "Put runs_dir on a disk that all machines share: --runs-dir DIR."
        unseen = ConfigError("this machine does not see the run's folder", job.run_dir, hint)
        return {"event": "failed", **describe_error(unseen)}
    with quiet():
        return do_job(job, _Noting(run_dir))


class _Noting(Observer):
    """There: epochs stand in the run's history anyway; what else the driver should know goes into a file."""

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
    """Here: tells the observers of running jobs what these have written; use it in a `with`."""

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
        """A job is about to begin, or to go on: only what it writes from now on is news."""
        run_dir = Path(job.run_dir)
        for leftover in (_PLAN, _HOPELESS):
            (run_dir / leftover).unlink(missing_ok=True)
        file = run_dir / HISTORY_FILE
        with self._lock:
            self._jobs[run_dir] = _Followed(observer, file.stat().st_size if file.exists() else 0)

    def forget(self, job: Job) -> None:
        """A job is over: what it wrote last is told, and no more.

        Raises:
            Exception: whatever its observer has raised.
        """
        run_dir = Path(job.run_dir)
        with self._lock:
            followed = self._jobs.pop(run_dir, None)
            if followed is not None:
                _tell(run_dir, followed)
        for leftover in (_PLAN, _HOPELESS):
            (run_dir / leftover).unlink(missing_ok=True)
        if followed is not None and followed.error is not None:
            raise followed.error

    def run(self) -> None:
        """Look, until it is over."""
        while not self._over.wait(_SECONDS):
            self.look()

    def look(self) -> None:
        """Tell what is new."""
        with self._lock:
            for run_dir, followed in self._jobs.items():
                _tell(run_dir, followed)


def _tell(run_dir: Path, followed: _Followed) -> None:
    """Tell a job's news. An error ends no thread that others are followed by."""
    if followed.error is not None:
        return
    try:
        _read_news(run_dir, followed)
    except OSError:
        pass  # a shared disk may not answer for a moment: the next look goes on from here
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
