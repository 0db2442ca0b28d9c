"""Changes to the record of a run that has ended, and that nobody records any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from dlcli.errors import DlcliError
from dlcli.tracking.history import History
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import Entry
from dlcli.tracking.projection import Projection
from dlcli.tracking.store import Store


def amend(store: Store, run_dir: Path, tags: Mapping[str, str]) -> None:
    """Set tags in the ledger and in MLflow; where the store does not answer, a later command brings it up to date."""
    ledger = Ledger.load(run_dir)
    entry = Entry.of(ledger)
    ledger.add_tags(tags)
    projection = Projection(ledger, store.client)
    with suppress(DlcliError):
        projection.push_tags()
    if projection.complete:
        entry.remove()
    else:
        entry.release()


@contextmanager
def alone_with(run_dir: Path) -> Iterator[Ledger]:
    """A run's ledger, while nobody else can begin to record it; whoever records it next brings MLflow up to date.

    Raises:
        InputError: another process records it.
    """
    entry = Entry.of(Ledger.load(run_dir))
    try:
        with closing(History(run_dir)):
            yield Ledger.load(run_dir)
    finally:
        entry.release()
