"""A context for the jobs of a run, which records the end of its child runs if they are interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dlcli.config.next_command import resume_command
from dlcli.cross_validation.children import descendants
from dlcli.errors import Diverged, DlcliError
from dlcli.events import Listener, RunOpened
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store

# Seconds for which the ends of killed workers are waited for, and between attempts.
_PATIENCE, _PAUSE = 2.0, 0.05


@contextmanager
def recording(run_dir: Path, store: Store, listen: Listener) -> Iterator[None]:
    """Send the event `RunOpened`; on an exception, record the end of child runs whose process has ended."""
    listen(RunOpened(run_dir))
    try:
        yield
    except BaseException as error:
        _note_how_to_resume(error, run_dir)
        store.close()
        # Folds and trials that did not start, or whose worker ended; the locks of a killed one are free a moment later.
        deadline = time.monotonic() + _PATIENCE
        while True:
            reconcile(store.runs_dir, store)
            if time.monotonic() > deadline or not _any_runs(run_dir):
                break
            time.sleep(_PAUSE)
        raise


def _note_how_to_resume(error: BaseException, run_dir: Path) -> None:
    """Add a note on how to resume a cross-validation to an exception that has no such note."""
    told = [str(error), *getattr(error, "__notes__", ())]
    if isinstance(error, Diverged) or any("dlcli resume" in text for text in told):
        return
    with suppress(DlcliError):
        ledger = Ledger.load(run_dir)
        if ledger.kind == "cv":
            error.add_note(f"Resume it: {resume_command(ledger)}")


def _any_runs(run_dir: Path) -> bool:
    with suppress(DlcliError):
        return any(child.status == "RUNNING" for child in descendants(Ledger.load(run_dir)))
    return False
