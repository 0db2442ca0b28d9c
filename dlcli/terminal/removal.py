"""Show runs and files that are deleted, restored or removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from dlcli.formatting import age_text, amount, counted
from dlcli.runs.cleaning import WHAT, Garbage, Garbages
from dlcli.runs.deletion import Affected
from dlcli.runs.disk_usage import KINDS, Usage
from dlcli.runs.inventory import ListedRun, time_of
from dlcli.sanitize.presentable import presentable_name
from dlcli.terminal.console import Terminal
from dlcli.terminal.flowing import flowing
from dlcli.terminal.run_list import tell_runs

_SHOWN = 20  # maximum number of runs in a preview; --json has all

_MEANS = {
    "trash": "runs deleted {age} ago or earlier: removed permanently",
    "checkpoints": "of runs that finished {age} ago or earlier; they can predict, but resume starts them again",
    "features": "of frozen backbones, not used for {age}: computed again when needed",
    "temporary": "files that killed processes have left",
}


def tell_affected(terminal: Terminal, affected: Affected, now: datetime) -> None:
    """Print the affected runs and their disk usage."""
    tell_runs(terminal, [(0, run) for run in affected.runs[:_SHOWN]], now)
    if len(affected.runs) > _SHOWN:
        terminal.note(f"... and {counted(len(affected.runs) - _SHOWN, 'more run')}: --json lists them.")


def in_all(affected: Affected) -> str:
    """Return the totals of affected runs: `2 runs, with 11 folds and trials, 12.3 MB`."""
    runs, parts = len(affected.runs), affected.count - len(affected.runs)
    beside = f" with {counted(parts, 'part')}" if parts else ""
    return f"{counted(runs, 'run')}{beside}, {amount(affected.size)}"


def affected_json(affected: Affected) -> dict[str, Any]:
    """Return the fields of the JSON document."""
    return {
        "runs_dir": str(affected.runs_dir),
        "size_bytes": affected.size,
        "runs": [
            {
                "run_id": run.run_id,
                "name": run.name,
                "kind": run.kind,
                "experiment": run.experiment,
                "status": run.status,
                "size_bytes": run.size,
                "parts": [part.run_id for part in run.all() if part is not run],
                "needed": affected.needed.get(run.run_id, []),
            }
            for run in affected.runs
        ],
    }


def tell_trash(terminal: Terminal, runs: Sequence[tuple[ListedRun, str | None]], now: datetime) -> None:
    """Print the runs in the trash."""
    rows = []
    for run, at in runs:
        then = None
        with suppress(ValueError):  # the file may come from elsewhere
            then = time_of(at)
        gone = "" if then is None else f"{age_text((now - then).total_seconds())} ago"
        row = {"name": run.name, "id": run.run_id[:8], "kind": run.kind, "experiment": run.experiment}
        row |= {"deleted": gone, "size": amount(run.size)}
        rows.append({key: presentable_name(cell) for key, cell in row.items()})
    for line in flowing(rows, terminal.console.width, right=("deleted", "size")):
        terminal.note(line)


def tell_garbage(terminal: Terminal, garbage: Garbages, age: str) -> None:
    """Print what can be removed, by kind."""
    rows = []
    for what in WHAT:
        if found := garbage.of(what):
            size = amount(sum(one.size for one in found))
            rows.append({"what": what, "count": f"{len(found):,}", "size": size})
    for line in flowing(rows, terminal.console.width, right=("count", "size")):
        terminal.note(line)
    for row in rows:
        terminal.sentence(f"{row['what']}: {_MEANS[row['what']].format(age=age)}.", indent=4)
    largest = sorted(garbage.found, key=lambda one: -one.size)
    for line in flowing([_line(one) for one in largest[:_SHOWN]], terminal.console.width, right=("size",)):
        terminal.note(line)
    if len(largest) > _SHOWN:
        terminal.note(f"... and {len(largest) - _SHOWN:,} more: --json lists them.")


def _line(one: Garbage) -> dict[str, str]:
    return {"what": one.what, "name": presentable_name(one.name), "size": amount(one.size)}


def tell_usage(terminal: Terminal, usages: Sequence[Usage], beside: dict[str, int], shown: int) -> None:
    """Print the disk usage of the largest runs, of all runs together, and of other files."""
    rows = [{"name": usage.run.name, **_cells(usage.sizes)} for usage in usages[: shown or None]]
    total = {kind: sum(usage.sizes[kind] for usage in usages) for kind in KINDS}
    rows.append({"name": f"all {counted(len(usages), 'run')}", **_cells(total)})
    rows = [{key: presentable_name(cell) for key, cell in row.items()} for row in rows]
    for line in flowing(rows, terminal.console.width, right=("all", *KINDS)):
        terminal.note(line)
    for name, size in beside.items():
        if size:
            terminal.note(f"{name}: {amount(size)}")


def _cells(sizes: dict[str, int]) -> dict[str, str]:
    return {"all": amount(sum(sizes.values())), **{kind: amount(size) for kind, size in sizes.items()}}
