"""`dlcli runs note`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, Run, RunsDir, session


def runs_note(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note; an empty text removes it.")],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Write a note on a run that has ended, in its record and in MLflow."""
    with session(json) as terminal:
        from dlcli.runner import runs_directory
        from dlcli.runs.annotation import set_note
        from dlcli.runs.find import find_run
        from dlcli.terminal.changed_runs import tell_annotated

        found = find_run(run, runs_directory(runs_dir))
        tell_annotated(terminal, set_note(found.run_dir, text), found.note)
