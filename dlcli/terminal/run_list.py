"""Show the list of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from dlcli.files.paths import display
from dlcli.formatting import age_text, amount, duration, number
from dlcli.runs.filters import age
from dlcli.runs.inventory import DAMAGED, ListedRun
from dlcli.sanitize.presentable import presentable_name
from dlcli.terminal.console import Terminal
from dlcli.terminal.flowing import flowing

# Number of lines that are printed at once: single lines take longer, and a longer text would be shortened.
_AT_ONCE = 100

_NUMBERS = ("age", "duration", "size")


def tell_runs(terminal: Terminal, runs: Sequence[tuple[int, ListedRun]], now: datetime) -> None:
    """Print runs, each given with its level of nesting; damaged runs follow in a table of their own."""
    sound = [(level, run) for level, run in runs if run.status != DAMAGED]
    names = Counter(run.name for _, run in sound)
    rows = [_cells(run, level, names[run.name] > 1, now) for level, run in sound]
    if not any(row["registered"] for row in rows):
        rows = [{name: cell for name, cell in row.items() if name != "registered"} for row in rows]
    lines = list(flowing(rows, terminal.console.width, right=_NUMBERS))
    for start in range(0, len(lines), _AT_ONCE):
        terminal.note("\n".join(lines[start : start + _AT_ONCE]))
    for _, run in runs:
        if run.status == DAMAGED:
            terminal.note(f"damaged: {display(run.folder)}: {run.error}")


def _cells(run: ListedRun, level: int, shares_its_name: bool, now: datetime) -> dict[str, str]:
    marked = f" ({run.run_id[:8]})" if shares_its_name else ""
    old, count = age(run, now), sum(child.kind in ("fold", "trial") for child in run.children)
    cells = {
        "name": f"{'  ' * level}{run.name}{marked}",
        "kind": f"{run.kind} of {count}" if count else run.kind,
        "experiment": run.experiment,
        "status": run.status,
        "age": "" if old is None else age_text(old),
        "duration": "" if run.duration is None else duration(run.duration),
        "figure (baseline)": _figure(run),
        "size": amount(run.size),
        "registered": ", ".join(version.words() for version in run.registered),
    }
    return {heading: presentable_name(cell) for heading, cell in cells.items()}


def _figure(run: ListedRun) -> str:
    if run.figure is None:
        return ""
    baseline = run.figure.baseline
    beside = "" if baseline is None else f" ({number(baseline)})"
    return f"{run.figure.name} {number(run.figure.value)}{beside}"
