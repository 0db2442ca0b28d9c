"""Record the end of runs whose process has ended without doing so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dlcli.config.solver_names import memory_hint
from dlcli.errors import CorruptRun, DlcliError, Interrupted, TrainingError
from dlcli.process.supervision import Ending
from dlcli.runs.recorded import read_config
from dlcli.tracking.ledger import Ledger, now
from dlcli.tracking.liveness import RunLock, entries, read_entry
from dlcli.tracking.places import find_folder
from dlcli.tracking.recorder import Recorder

# Seconds to wait for the end of processes that die together with the lost process.
_DYING = 2.0
_PAUSE = 0.02

_CRASH = "A crash in compiled code of a library or of the model; PYTHONFAULTHANDLER=1 shows where."
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")


def error_at_end(ending: Ending) -> TrainingError:
    """Return the error for a process that was killed, crashed, or exited early."""
    if ending.why is not None:
        return TrainingError(*ending.why)
    if ending.code < 0:
        name = signal.Signals(-ending.code).name
        hint = _CRASH if name in _CRASHES else ""
        if name == "SIGKILL":
            hint = memory_hint(_config_of_lost(ending))
        return TrainingError(f"the process ended with {name}", hint=hint)
    return TrainingError(
        f"the process ended with exit code {ending.code} before it was done",
        hint="Code of the model, the dataset or a library has called os._exit, or exit in C.",
    )


def record_lost_runs(ending: Ending, error: DlcliError) -> list[Ledger]:
    """Record the runs of a lost process as failed, and return their ledgers, innermost first.

    A sweep whose trial ended the process is recorded as killed instead, and can be resumed.
    """
    lost = _lost(ending)
    in_trial = lost and lost[0].kind in ("trial", "fold")
    for ledger in lost:
        is_sweep = in_trial and ledger.kind == "sweep"
        end: BaseException = Interrupted(signal.SIGTERM) if is_sweep else error
        with contextlib.suppress(DlcliError, Interrupted), Recorder(ledger.run_dir, system_metrics=False):
            raise end
    return lost


def resuming_command(lost: Sequence[Ledger]) -> list[str] | None:
    """Return the arguments of the command that resumes a sweep whose trial ended the process; otherwise None.

    The trial counts as failed and is not repeated, so the number of such resumptions is bounded.
    """
    sweep = next((ledger for ledger in lost if ledger.kind == "sweep"), None)
    if (
        sweep is None
        or lost[0].kind not in ("trial", "fold")
        or Ledger.load(lost[0].run_dir).status != "FAILED"
    ):
        return None
    return ["resume", sweep.run_id, "--runs-dir", str(sweep.runs_dir), *_conf_dirs(sys.argv)]


def replace_process(words: Sequence[str]) -> NoReturn:
    """Replace this process by another dlcli command, with the same process ID."""
    sys.stdout.flush()
    sys.stderr.flush()
    path = os.pathsep.join(filter(None, sys.path))
    os.execve(
        sys.executable, [sys.executable, "-P", "-m", "dlcli", *words], {**os.environ, "PYTHONPATH": path}
    )


def _lost(ending: Ending) -> list[Ledger]:
    """Return the ledgers of the runs of a lost process, innermost first."""
    lost = [ledger for _, ledger in _unfinished(ending.run_dir) if _is_of(ledger, ending.pid)]
    outer = {ledger.parent_id for ledger in lost}
    return sorted(lost, key=lambda ledger: ledger.run_id in outer)


def _config_of_lost(ending: Ending) -> dict[str, Any]:
    """Return the recorded configuration of the innermost run of a lost process; empty if there is none to read."""
    with contextlib.suppress(DlcliError):
        for ledger in _lost(ending)[:1]:
            return read_config(ledger)
    return {}


def _conf_dirs(words: Sequence[str]) -> list[str]:
    """Return the options of a command line that name conf folders."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-C", "--conf-dir"):
            found += [word, following]
        elif word.startswith(("--conf-dir=", "-C")):
            found.append(word)
    return found


def record_stop(run_dir: Path | None) -> None:
    """Record runs without a process as killed, in the ledgers only, so that Ctrl-C returns quickly.

    The next command updates MLflow.
    """
    deadline = time.monotonic() + _DYING
    while (unfinished := _unfinished(run_dir)) and time.monotonic() < deadline:
        for path, ledger in unfinished:
            if entry := RunLock.take_over(path):
                ledger.update(status="KILLED", ended_at=now())
                entry.release()
        time.sleep(_PAUSE)


def _unfinished(run_dir: Path | None) -> list[tuple[Path, Ledger]]:
    """Return the unfinished runs among a run and its descendants, each as the path of its entry and its ledger."""
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
