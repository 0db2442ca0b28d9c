"""`dlcli runs du`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, session


def runs_du(
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, help="The N largest runs; 0 for all.")] = 10,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show disk usage: checkpoints, models, outputs and plots of the largest runs, and other files."""
    with session(json) as terminal:
        from datetime import UTC, datetime

        from dlcli.files.paths import display
        from dlcli.formatting import amount
        from dlcli.runner import runs_directory
        from dlcli.runs.disk_usage import beside_the_runs, usage_of
        from dlcli.runs.inventory import list_runs
        from dlcli.terminal.removal import tell_usage
        from dlcli.tracking.trash import settle_folders

        folder = runs_directory(runs_dir).resolve()
        settle_folders(folder)
        usages = sorted(
            (usage_of(run) for run in list_runs(folder, datetime.now(UTC))),
            key=lambda usage: -sum(usage.sizes.values()),
        )
        beside = beside_the_runs(folder)
        total = sum(sum(usage.sizes.values()) for usage in usages) + sum(beside.values())
        if json:
            runs = [
                {"run_id": usage.run.run_id, "name": usage.run.name, "size_bytes": usage.sizes}
                for usage in usages[: count or None]
            ]
            document = {"runs_dir": str(folder), "total_bytes": total, "beside_bytes": beside, "runs": runs}
            terminal.document({"status": "OK", **document})
        else:
            tell_usage(terminal, usages, beside, count)
            terminal.note(f"{display(folder)} takes {amount(total)}.")
