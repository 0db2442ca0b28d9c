"""Folders with a ledger, without training: enough for a list of runs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dlcli.tracking.ledger import Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def made(
    runs_dir: Path,
    name: str,
    *,
    days: float = 1,
    experiment: str = "iris",
    figures: dict[str, float] | None = None,
    **fields: Any,
) -> Ledger:
    """Write a run that was created some days before `NOW` and took a minute; `figures` are its results."""
    run_id = hashlib.md5(f"{experiment}/{name}/{days}".encode()).hexdigest()
    folder = runs_dir / experiment / run_id / "artifacts"
    folder.mkdir(parents=True)
    created = NOW - timedelta(days=days)
    figures = figures or {}
    ledger = Ledger(
        run_dir=folder,
        run_id=run_id,
        experiment=experiment,
        **{
            "run_name": name,
            "kind": "run",
            "token": run_id[:16],
            "status": "FINISHED",
            "created_at": created.isoformat(),
            "started_at": created.isoformat(),
            "ended_at": (created + timedelta(minutes=1)).isoformat(),
            "metrics": figures,
            "result": {"metrics": [name for name in figures if not name.startswith("baseline/")]},
            "digests": {},
            **fields,
        },
    )
    ledger.update(durable=False)
    return ledger
