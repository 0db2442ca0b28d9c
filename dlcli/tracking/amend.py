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


def amend(store: Store, run_dir: Path, tags: Mapping[str, str]) -> None:
    """Set tags in the ledger and in MLflow; if the store does not answer, a later command updates it."""
    ledger = Ledger.load(run_dir)
    entry, complete = RunLock.of(ledger), False
    try:
        ledger.add_tags(tags)
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
