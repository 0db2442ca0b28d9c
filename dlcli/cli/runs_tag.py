"""`dlcli runs tag`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, Run, RunsDir, session


def runs_tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Tags; KEY= empties one.")],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Set tags of a run that has ended, in its record and in MLflow."""
    with session(json) as terminal:
        from dlcli.runner import runs_directory
        from dlcli.runs.annotation import set_tags
        from dlcli.runs.find import find_run
        from dlcli.terminal.changed_runs import tell_annotated

        found = find_run(run, runs_directory(runs_dir))
        tell_annotated(terminal, set_tags(found.run_dir, tags), found.note)
