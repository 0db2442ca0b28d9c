"""Announce a run, and record the end of its child runs if its jobs are interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.events import Listener, RunOpened
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store


@contextmanager
def recording(run_dir: Path, store: Store, listen: Listener) -> Iterator[None]:
    """Announce a run; if an exception ends its jobs, record the end of child runs without a process."""
    listen(RunOpened(run_dir))
    try:
        yield
    except BaseException:
        store.close()
        reconcile(store.runs_dir, store)  # folds and trials that did not start, or whose worker has ended
        raise
