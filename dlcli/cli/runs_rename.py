"""`dlcli runs rename`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, Run, RunsDir, session


def runs_rename(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Rename a run that has ended, in its record and in MLflow; its folds and trials keep their names."""
    with session(json) as terminal:
        from dlcli.runner import runs_directory
        from dlcli.runs.annotation import rename
        from dlcli.runs.find import find_run
        from dlcli.terminal.changed_runs import tell_annotated

        found = find_run(run, runs_directory(runs_dir))
        tell_annotated(terminal, rename(found.run_dir, name), found.note)
