"""`dlcli runs restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, session


def runs_restore(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="DELETED...", help="IDs or their starts, or names, of runs in the trash."),
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Restore deleted runs from the trash, also in MLflow; without RUN, list the runs in the trash."""
    with session(json) as terminal:
        from datetime import UTC, datetime

        from dlcli.files.paths import display
        from dlcli.runner import runs_directory
        from dlcli.runs.deletion import Affected, list_trash, plan_restoration, restore
        from dlcli.terminal.removal import affected_json, in_all, tell_affected, tell_trash
        from dlcli.tracking.trash import settle_folders

        folder, now = runs_directory(runs_dir).resolve(), datetime.now(UTC)
        if not runs:
            settle_folders(folder)
            there = list_trash(folder, now)
            if json:
                listed = affected_json(Affected(folder, tuple(run for run, _ in there), {}))
                for about, (_, at) in zip(listed["runs"], there, strict=True):
                    about["deleted_at"] = at
                terminal.document({"status": "OK", "done": False, **listed})
            elif there:
                tell_trash(terminal, there, now)
            else:
                terminal.note(f"The trash of {display(folder)} is empty.")
            return
        affected = plan_restoration(runs, folder, now)
        for note in affected.notes:
            terminal.warning(note)
        problems = restore(affected)
        for problem in problems:
            terminal.warning(f"MLflow was not updated completely: {problem}.")
        if json:
            terminal.document({"status": "OK", "done": True, **affected_json(affected), "mlflow": problems})
        else:
            tell_affected(terminal, affected, now)
            terminal.note(f"Restored: {in_all(affected)}.")
