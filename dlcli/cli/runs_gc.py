"""`dlcli runs gc`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, Yes, session


def runs_gc(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Since deletion, end or last use: 12h, 30d, 0s."),
    ] = "30d",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="WHAT", help="trash, checkpoints, features or temporary. Repeatable."),
    ] = None,
    yes: Yes = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Free disk space: empty the trash, remove old checkpoints, cached features and abandoned temporary files.

    Without `--yes`, it only shows what would be removed.
    """
    with session(json) as terminal:
        from datetime import UTC, datetime

        from dlcli.files.paths import display
        from dlcli.formatting import amount
        from dlcli.runner import runs_directory
        from dlcli.runs.cleaning import WHAT, find_garbage, remove
        from dlcli.runs.filters import seconds
        from dlcli.terminal.removal import tell_garbage

        age = seconds(older_than, "--older-than")
        garbage = find_garbage(runs_directory(runs_dir), datetime.now(UTC), age, only or WHAT)
        for note in garbage.notes:
            terminal.warning(note)
        size = sum(one.size for one in garbage.found)
        if not json:
            tell_garbage(terminal, garbage, older_than)
        freed = remove(garbage) if yes else 0
        if json:
            found = [
                {"what": one.what, "name": one.name, "path": str(one.path), "size_bytes": one.size}
                for one in garbage.found
            ]
            document = {"done": yes, "size_bytes": size, "freed_bytes": freed, "found": found}
            terminal.document({"status": "OK", "runs_dir": str(garbage.runs_dir), **document})
        elif not garbage.found:
            terminal.note(f"There is nothing to remove in {display(garbage.runs_dir)}.")
        elif yes:
            terminal.note(f"Freed {amount(freed)}.")
        else:
            terminal.sentence(f"Would free {amount(size)}. Nothing was removed: add --yes.")
