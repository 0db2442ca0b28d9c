"""The members of an ensemble as its ledger names them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import is_run_id


class NamedMember(NamedTuple):
    """A member: ID and name of its run, its weight in the mean, an integer, and facts tuned for the ensemble."""

    run_id: str
    run_name: str
    times: int
    tuned: Mapping[str, Any] = MappingProxyType({})


def members_in(ledger: Ledger) -> list[NamedMember]:
    """Return the members of an ensemble that was selected, also by a sweep; entries that name no run are left out."""
    if ledger.kind not in ("ensemble", "sweep"):
        return []
    found = ledger.result.get("members")
    return [
        NamedMember(one["run_id"], str(one.get("run_name", "")), int(one.get("count", 1)), _facts(one))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get("run_id"), str) and is_run_id(one["run_id"])
    ]


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = entry.get("tuned")
    return found if isinstance(found, dict) else {}
