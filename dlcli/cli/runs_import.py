"""`dlcli runs import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, session


def runs_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="An archive of dlcli runs export.")],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Add the runs of an archive to the runs folder and to its MLflow store; on an error, none is added.

    Opening a run from elsewhere executes no code that it names: see the page on security.
    """
    with session(json) as terminal:
        from functools import partial

        from dlcli.files.paths import typed
        from dlcli.runner import runs_directory
        from dlcli.runs.archive import unpack_archive
        from dlcli.runs.arrival import arrive
        from dlcli.terminal.changed_runs import tell_arrived

        arrived = arrive(runs_directory(runs_dir), partial(unpack_archive, typed(file)))
        tell_arrived(terminal, arrived)
