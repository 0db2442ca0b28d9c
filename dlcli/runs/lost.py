"""Runs whose process has ended without a word: what their records say, once somebody else has noticed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dlcli.errors import CorruptRun, DlcliError, Interrupted, TrainingError
from dlcli.process.supervision import Ending
from dlcli.tracking.ledger import Ledger, now
from dlcli.tracking.liveness import Entry, entries, read_entry
from dlcli.tracking.places import find_folder
from dlcli.tracking.recorder import Recorder

# Seconds for processes to be gone that die with the one that is lost.
_DYING = 2.0
_PAUSE = 0.02

_HINTS = {
    "SIGKILL": "The system kills processes when memory runs out: smaller batches (dataset.batch_size).",
    "SIGSEGV": "A fault in compiled code, a library's or the model's own; PYTHONFAULTHANDLER=1 shows where.",
}


def describe(ending: Ending) -> TrainingError:
    """What became of a process that has not come to its own end."""
    if ending.why is not None:
        return TrainingError(*ending.why)
    if ending.code < 0:
        name = signal.Signals(-ending.code).name
        hint = _HINTS.get(
            name, _HINTS["SIGSEGV"] if name in ("SIGBUS", "SIGABRT", "SIGFPE", "SIGILL") else ""
        )
        return TrainingError(f"the process ended with {name}", hint=hint)
    return TrainingError(
        f"the process ended with exit code {ending.code} before it was done",
        hint="Code of the model, the data or a library has called os._exit, or C's exit.",
    )


def record_failure(ending: Ending, error: DlcliError) -> list[Ledger]:
    """Record the runs that a lost process was working on as failed: the innermost first.

    A sweep whose trial took the process along has not failed: it is killed, and can go on.
    """
    lost = [ledger for _, ledger in _unfinished(ending.run_dir) if _is_of(ledger, ending.pid)]
    outer = {ledger.parent_id for ledger in lost}
    lost.sort(key=lambda ledger: ledger.run_id in outer)
    in_trial = lost and lost[0].kind in ("trial", "fold")
    for ledger in lost:
        is_sweep = in_trial and ledger.kind == "sweep"
        end: BaseException = Interrupted(signal.SIGTERM) if is_sweep else error
        with contextlib.suppress(DlcliError, Interrupted), Recorder(ledger.run_dir, system_metrics=False):
            raise end
    return lost


def way_on(lost: Sequence[Ledger]) -> list[str] | None:
    """The words of the command by which a sweep goes on whose trial took the process along; None for all else.

    The trial has failed, and is not tried again: each time it goes on there is one less.
    """
    sweep = next((ledger for ledger in lost if ledger.kind == "sweep"), None)
    if (
        sweep is None
        or lost[0].kind not in ("trial", "fold")
        or Ledger.load(lost[0].run_dir).status != "FAILED"
    ):
        return None
    return ["resume", sweep.run_id, "--runs-dir", str(sweep.runs_dir), *_conf_dirs(sys.argv)]


def become(words: Sequence[str]) -> NoReturn:
    """Become another command, with the process ID of this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    path = os.pathsep.join(filter(None, sys.path))
    os.execve(
        sys.executable, [sys.executable, "-P", "-m", "dlcli", *words], {**os.environ, "PYTHONPATH": path}
    )


def _conf_dirs(words: Sequence[str]) -> list[str]:
    """The options of a command that name conf folders."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-C", "--conf-dir"):
            found += [word, following]
        elif word.startswith(("--conf-dir=", "-C")):
            found.append(word)
    return found


def record_stop(run_dir: Path | None) -> None:
    """Mark what nobody works on any more as killed, in the ledgers alone: whoever presses Ctrl-C does not want to wait.

    The next command brings MLflow up to date.
    """
    deadline = time.monotonic() + _DYING
    while (left := _unfinished(run_dir)) and time.monotonic() < deadline:
        for path, ledger in left:
            if entry := Entry.take_over(path):
                ledger.update(status="KILLED", ended_at=now())
                entry.release()
        time.sleep(_PAUSE)


def _unfinished(run_dir: Path | None) -> list[tuple[Path, Ledger]]:
    """A run and those that belong to it, as far as they have no end yet, with their entries."""
    if run_dir is None:
        return []
    found: dict[str, tuple[Path, Ledger]] = {}
    runs_dir = run_dir.parents[2]
    for path in entries(runs_dir):
        run_id = read_entry(path).get("run_id")
        if run_id and (folder := find_folder(runs_dir, run_id)):
            with contextlib.suppress(CorruptRun):
                found[run_id] = path, Ledger.load(folder)

    def belongs(run_id: str | None) -> bool:
        if run_id == run_dir.parent.name:
            return True
        return run_id in found and belongs(found[run_id][1].parent_id)

    return [(path, x) for path, x in found.values() if x.unfinished and belongs(x.run_id)]


def _is_of(ledger: Ledger, pid: int) -> bool:
    return ledger.status == "RUNNING" and ledger.pid == pid and ledger.host == socket.gethostname()
