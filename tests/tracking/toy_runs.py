"""Runs for the tests of the record."""

from pathlib import Path
from typing import Any

from dlcli.tracking.store import Store, make_run_name


def new_run(store: Store, **changes: Any) -> Path:
    """Create an empty run of an experiment `exp`."""
    arguments = {
        "experiment": "exp",
        "run_name": make_run_name("toy"),
        "kind": "run",
        "params": {},
        "tags": {},
    }
    return store.create_run(**{**arguments, **changes})
