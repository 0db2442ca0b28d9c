"""Change the record of a run that has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from dlcli.errors import DlcliError
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import RunLock
from dlcli.tracking.projection import Projection
from dlcli.tracking.store import Store


def amend(store: Store, run_dir: Path, tags: Mapping[str, str], *, later: bool = False) -> None:
    """Set tags in the ledger and in MLflow; if the store does not answer, a later command updates it.

    Args:
        store: the run's store.
        run_dir: the run's folder.
        tags: tags.
        later: whether `Store.project` updates MLflow, together with other runs.
    """
    ledger = Ledger.load(run_dir)
    if all(ledger.tags.get(name) == text for name, text in tags.items()):
        return
    entry, complete = RunLock.of(ledger), False
    try:
        ledger = Ledger.load(run_dir)  # again under the lock: another command may have changed it meanwhile
        ledger.add_tags(tags, durable=not later)
        if later:
            store.send_later(run_dir)
            return
        with suppress(DlcliError):
            projection = Projection(ledger, lambda: store.client)
            projection.push_tags()
            complete = projection.complete
    finally:
        entry.remove() if complete else entry.release()


@contextmanager
def locked_ledger(run_dir: Path) -> Iterator[Ledger]:
    """Yield a run's ledger while no other process can record the run. MLflow is not updated.

    Raises:
        InputError: Another process is recording the run.
    """
    entry = RunLock.of(Ledger.load(run_dir))
    try:
        with closing(HistoryWriter(run_dir)):
            yield Ledger.load(run_dir)
    finally:
        entry.release()
