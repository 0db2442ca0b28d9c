"""Tags of a run that has ended, and that nobody records any more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dlcli.errors import DlcliError
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import Entry
from dlcli.tracking.projection import Projection
from dlcli.tracking.store import Store


def amend(store: Store, run_dir: Path, tags: Mapping[str, str]) -> None:
    """Set tags in the ledger and in MLflow; where the store does not answer, a later command brings it up to date."""
    ledger = Ledger.load(run_dir)
    about = {"run_id": ledger.run_id, "run_dir": str(run_dir), "parent_id": ledger.parent_id}
    about |= {"tracking_uri": ledger.tracking_uri, "experiment": ledger.experiment}
    entry = Entry.hold(Path(ledger.runs_dir), ledger.token, about)
    ledger.add_tags(tags)
    projection = Projection(ledger, store.client)
    with suppress(DlcliError):
        projection.push_tags()
    if projection.complete:
        entry.remove()
    else:
        entry.release()
