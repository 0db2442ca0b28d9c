"""A context for the jobs of a run, which records the end of its child runs if they are interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.events import Listener, RunOpened
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store


@contextmanager
def recording(run_dir: Path, store: Store, listen: Listener) -> Iterator[None]:
    """Send the event `RunOpened`; on an exception, record the end of child runs whose process has ended."""
    listen(RunOpened(run_dir))
    try:
        yield
    except BaseException:
        store.close()
        reconcile(store.runs_dir, store)  # folds and trials that did not start, or whose worker has ended
        raise
