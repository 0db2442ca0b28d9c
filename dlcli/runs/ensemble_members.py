"""The members of an ensemble as its ledger names them."""

from __future__ import annotations

from typing import NamedTuple

from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import is_run_id


class NamedMember(NamedTuple):
    """A member: ID and name of its run, and its weight in the mean, an integer."""

    run_id: str
    run_name: str
    times: int


def members_in(ledger: Ledger) -> list[NamedMember]:
    """Return the members of an ensemble that was selected; empty for other runs, and for entries that name no run."""
    if ledger.kind != "ensemble":
        return []
    found = ledger.result.get("members")
    return [
        NamedMember(one["run_id"], str(one.get("run_name", "")), int(one.get("count", 1)))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get("run_id"), str) and is_run_id(one["run_id"])
    ]
