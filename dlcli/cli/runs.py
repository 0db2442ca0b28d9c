"""`dlcli runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.common import Json, RunsDir, refuse_misplaced, session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dlcli.runs.inventory import ListedRun

_SHOWN = 50  # runs in the table, unless -n says otherwise


def runs(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list the folds and trials, each below its run.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option("--filter", metavar="FILTER", help="'status=failed and test/accuracy<0.9 and age>7d'"),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Smallest first by age, size, test/loss, ...; -KEY for largest first."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n", metavar="N", min=0, help="Only the first N runs; 0 for all. The default of the table is 50."
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout, with all metrics.")] = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """List the runs, the newest first: status, age, duration, main figure with its baseline, and size on disk.

    The line of a cross-validation or sweep shows the number of its folds or trials.
    """
    if refuse_misplaced(ctx):
        return
    with session(json, data=csv) as terminal:
        from datetime import UTC, datetime

        from dlcli.errors import InputError
        from dlcli.files.paths import display
        from dlcli.formatting import amount, counted
        from dlcli.runner import runs_directory
        from dlcli.runs.filters import in_order, select
        from dlcli.runs.find import how_to_begin
        from dlcli.runs.inventory import list_runs, named_runs, unlisted_folders
        from dlcli.terminal.run_list import tell_runs
        from dlcli.tracking.by_name import existing_links, update_links
        from dlcli.tracking.ledger import LEDGER_FILE
        from dlcli.tracking.reconcile import settle_ledgers

        if json and csv:
            raise InputError("are two formats of one output", "--json --csv", "Give one of them.")
        folder, now = runs_directory(runs_dir).resolve(), datetime.now(UTC)
        notes = settle_ledgers(folder)
        if unlisted := unlisted_folders(folder):
            others = f" and {counted(len(unlisted) - 1, 'other folder')}" if len(unlisted) > 1 else ""
            notes.append(f"Not listed, because it has no {LEDGER_FILE}: {display(unlisted[0])}{others}")
        links, tree = existing_links(folder), list_runs(folder, now)
        update_links(folder, links, named_runs(tree))
        rows = [row for run in tree for row in _rows(run, 0, everything)]
        # The order of the lines no longer shows which run a fold or trial belongs to.
        if only is not None or sort is not None:
            found = [run for _, run in rows]
            found = found if only is None else select(found, only, now)
            rows = [(0, run) for run in (found if sort is None else in_order(found, sort, now))]
        fitting, some = len(rows), _SHOWN if count is None and not json and not csv else count
        rows = rows[:some] if some else rows
        shown = [run for _, run in rows]
        if json:
            document = {"runs_dir": str(folder), "total": fitting, "notes": notes}
            terminal.document({"status": "OK", **document, "runs": [_as_json(run, now) for run in shown]})
        elif csv:
            with terminal.data_out() as out:
                out.write(_as_csv(shown, now).encode())
        elif not tree:
            terminal.note(f"There is no run in {display(folder)} yet. {how_to_begin(folder)}")
        elif not rows:
            terminal.note(f"None of {counted(sum(1 for _ in tree), 'run')} fits.")
        else:
            tell_runs(terminal, rows, now)
            if len(rows) < fitting:
                terminal.note(f"{len(rows)} of {counted(fitting, 'run')}: -n 0 shows all.")
            total = sum(run.size for run in tree)
            terminal.note(f"{counted(len(tree), 'run')} in {display(folder)}, {amount(total)}.")
        if not json:
            for note in notes:
                terminal.warning(note)


def _rows(run: ListedRun, level: int, everything: bool) -> list[tuple[int, ListedRun]]:
    below = [row for child in run.children for row in _rows(child, level + 1, True)] if everything else []
    return [(level, run), *below]


def _as_json(run: ListedRun, now: datetime) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **_facts(run, now),
        "registered": [version._asdict() for version in run.registered],
        "figure": run.figure and asdict(run.figure),
        "metrics": {name: run.metrics[name] for name in run.recorded},
        "parts": len(run.children),
    }


def _as_csv(runs: Sequence[ListedRun], now: datetime) -> str:
    """Return a line for each run, with a column for each result that any of them has."""
    import csv
    import io

    names = list(dict.fromkeys(name for run in runs for name in run.recorded))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for number, run in enumerate(runs):
        facts = _facts(run, now)
        if run.figure:
            facts |= {"figure": run.figure.name, "value": run.figure.value, "baseline": run.figure.baseline}
        else:
            facts |= {"figure": None, "value": None, "baseline": None}
        if not number:
            table.writerow([*facts, *names])
        table.writerow([*facts.values(), *(run.metrics.get(name) for name in names)])
    return text.getvalue()


def _facts(run: ListedRun, now: datetime) -> dict[str, Any]:
    from dlcli.runs.filters import age

    return {
        "name": run.name,
        "run_id": run.run_id,
        "kind": run.kind,
        "experiment": run.experiment,
        "status": run.status,
        "created_at": run.created_at and run.created_at.isoformat(),
        "age_s": age(run, now),
        "duration_s": run.duration,
        "size_bytes": run.size,
        "parent_id": run.parent_id,
        "run_dir": str(run.folder),
        "error": run.error,
        "registered": ", ".join(version.words() for version in run.registered),
    }
