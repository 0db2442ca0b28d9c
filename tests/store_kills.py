"""Kill a first `dlcli train` while it creates its store, then train again: `python -m tests.store_kills 40`.

Half of the kills come at random moments of the first three seconds, half within the n-th call to the system that
touches the runs folder. By turns they are SIGKILL, SIGINT and SIGTERM. The next command must end well, with no run left
open, nothing half made, and a database that SQLite finds whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

from dlcli.tracking import schema
from dlcli.tracking.ledger import LEDGER_FILE
from tests.processes import start

COMMAND = ["train", "dataset=iris", "model=linear", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_CALLS = ("open", "os.rename", "os.remove", "os.mkdir", "os.link", "sqlite3.connect", "fcntl.flock")


def make_tables_anew() -> None:
    """Have the store made by MLflow, though an earlier process has kept an empty one."""
    schema._make_empty_store.cache_clear()
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()


def die_within(folder: Path, moment: int, number: signal.Signals) -> None:
    """Have this process stopped within its n-th call to the system that touches a folder."""
    make_tables_anew()
    calls = count(1)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        concerns = event == "fcntl.flock" or (arguments and str(folder) in str(arguments[0]))
        if event in _CALLS and concerns and next(calls) == moment:
            os.kill(os.getpid(), number)

    sys.addaudithook(look)


def kill_within(folder: Path, moment: int, number: signal.Signals) -> str:
    """Kill at a moment of its own, and check; says how it ended."""
    folder.mkdir()
    process = start(COMMAND, folder, partial(die_within, folder / "runs", moment, number))
    process.communicate()
    return f"call {moment}, {_check(folder, process.returncode)}"


def kill_after(folder: Path, seconds: float, number: signal.Signals) -> str:
    """Kill after a time, and check; says how it ended."""
    folder.mkdir()
    process = start(COMMAND, folder, make_tables_anew)
    time.sleep(seconds)
    process.send_signal(number)
    process.communicate()
    return f"{seconds:.2f} s, {_check(folder, process.returncode)}"


def _check(folder: Path, code: int | None) -> str:
    runs_dir = folder / "runs"
    was_there = (runs_dir / "mlflow.db").exists()
    process = start(COMMAND, folder)
    out, err = process.communicate()
    assert process.returncode == 0, f"the next command ended with {process.returncode}:\n{out}\n{err}"
    assert "Traceback" not in err, err
    with closing(sqlite3.connect(runs_dir / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        statuses = dict(connection.execute("SELECT run_uuid, status FROM runs").fetchall())
    assert set(statuses.values()) <= {"FINISHED", "KILLED"}, statuses
    for file in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"):
        ledger = json.loads(file.read_text())
        assert statuses[ledger["run_id"]] == ledger["status"]
    names = {path.name for path in runs_dir.iterdir() if path.is_file()}
    assert names <= {"mlflow.db", "mlflow.db.lock", ".entered.json"}, names
    assert not list((runs_dir / ".active").iterdir())
    assert not half_made(runs_dir), half_made(runs_dir)
    return f"ended with {code}, the store {'there' if was_there else 'not there yet'}"


def half_made(runs_dir: Path) -> list[Path]:
    """Return what killed processes have left: temporary files, and folders of runs without a ledger."""
    left = [
        place for pattern in ("*.tmp", "*.new*", "*.partial", ".reserve") for place in runs_dir.rglob(pattern)
    ]
    runs = (run for run in runs_dir.glob("*/*") if not run.is_symlink())
    left += [link for link in runs_dir.glob("by-name/*") if link.name.startswith(".") or not link.exists()]
    return left + [run for run in runs if not (run / "artifacts" / LEDGER_FILE).exists()]


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0  # those before it were done by another call
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as base:
        for kill in range(number):
            what, folder = SIGNALS[kill % len(SIGNALS)], Path(base) / str(kill)
            seconds = 0.0 if kill % 2 else chance.uniform(0, 3)
            if kill < first:
                continue
            said = kill_within(folder, kill, what) if kill % 2 else kill_after(folder, seconds, what)
            print(f"{kill + 1}/{number}: {what.name}: {said}: the next command works", flush=True)


if __name__ == "__main__":
    main()
