"""Jobs on other machines, followed through the files that they write to their run folders on a shared disk."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError, Pruned, describe_error
from dlcli.events import EpochDone, Event, Listener, TrainingStarted
from dlcli.executors.channel import read_event, send_event
from dlcli.executors.job_messages import do_job
from dlcli.files.regular import read_regular
from dlcli.job import Job
from dlcli.process.quiet import quiet
from dlcli.tracking.history import EPOCH_LOSS, HISTORY_FILE, first_epoch, read_history
from dlcli.tracking.ledger import LEDGER_FILE, atomic_write

_SECONDS = 0.3  # between polls
# Files in the run's folder: the job writes its plan before training, the driver a request to abandon the job.
_PLAN, _HOPELESS = ".plan.json", ".hopeless"
_MAX_BYTES = 1 << 20  # bytes of a plan


def do_followed_job(job: Job) -> dict[str, Any]:
    """Run a job on the remote machine, and return the message that describes its outcome."""

    run_dir = Path(job.run_dir)
    if not (run_dir / LEDGER_FILE).exists():
        hint = "Put runs_dir on a disk that all machines share: --runs-dir DIR."
        unseen = ConfigError("the run's folder does not exist on this machine", job.run_dir, hint)
        return {"event": "failed", **describe_error(unseen)}
    with quiet():
        return do_job(job, partial(_write_down, run_dir))


def _write_down(run_dir: Path, event: Event) -> None:
    """Write the event `TrainingStarted` to a file; finished epochs are in the run's history."""
    if isinstance(event, TrainingStarted):
        text = StringIO()
        send_event(text, event)
        atomic_write(run_dir / _PLAN, text.getvalue(), durable=False)
    elif isinstance(event, EpochDone) and (run_dir / _HOPELESS).exists():
        raise Pruned


@dataclass
class _Followed:
    listen: Listener
    offset: int
    error: Exception | None = None


class Following(threading.Thread):
    """The driver's side: polls the files of running jobs and sends their events to the listeners. A context manager."""

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

    def follow(self, job: Job, listen: Listener) -> None:
        """Follow a job that is about to start or continue; its earlier files are ignored."""
        run_dir = Path(job.run_dir)
        for leftover in (_PLAN, _HOPELESS):
            (run_dir / leftover).unlink(missing_ok=True)
        file = run_dir / HISTORY_FILE
        with self._lock:
            self._jobs[run_dir] = _Followed(listen, file.stat().st_size if file.exists() else 0)

    def forget(self, job: Job) -> None:
        """Report the last events of a finished job, and stop following it.

        Raises:
            Exception: Whatever its listener has raised.
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
    """Report the new events of one job. An error is kept for `forget`, since the thread also follows other jobs."""
    if followed.error is not None:
        return
    try:
        _read_news(run_dir, followed)
    except OSError:
        pass  # a shared disk may be unavailable for a moment: the next poll continues from here
    except Exception as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno is None:
            followed.error = error


def _read_news(run_dir: Path, followed: _Followed) -> None:
    with contextlib.suppress(OSError, ValueError):
        started = read_event(json.loads(read_regular(run_dir / _PLAN, _MAX_BYTES)))
        (run_dir / _PLAN).unlink()
        followed.listen(started)
    for line in read_history(run_dir, followed.offset):
        followed.offset = line.end
        if EPOCH_LOSS in line.metrics:
            try:
                followed.listen(EpochDone(line.step - first_epoch(run_dir), line.metrics))
            except Pruned:
                (run_dir / _HOPELESS).touch()
