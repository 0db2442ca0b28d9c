"""`dlcli runs show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.common import Json, Run, RunsDir, session

if TYPE_CHECKING:
    from dlcli.terminal.console import Terminal


def runs_show(
    run: Run,
    open_them: Annotated[bool, typer.Option("--open", help="Open the folder with the plots.")] = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show a run: its data, model and status, its results, files and plots, and the command that repeats it.

    `dlcli show RUN` does the same.
    """
    with session(json) as terminal:
        from dlcli.runner import runs_directory
        from dlcli.runs.find import find_run

        found = find_run(run, runs_directory(runs_dir))
        if found.note and not json:
            terminal.note(found.note)
        tell(terminal, found.run_dir, open_them=open_them)


def tell(terminal: Terminal, run_dir: Path, *, open_them: bool = False) -> None:
    """Show the run in a folder; also used by `dlcli show RUN`."""
    from datetime import UTC, datetime

    from dlcli.errors import InputError
    from dlcli.files.paths import display
    from dlcli.runs.overview import overview
    from dlcli.terminal.run_view import tell_run

    now = datetime.now(UTC)
    about = overview(run_dir, now)
    if open_them and about.pictures is None:
        raise InputError("the run has no pictures", "--open", f"Its files are in {display(run_dir)}")
    tell_run(terminal, about, now)
    if open_them and about.pictures is not None and typer.launch(str(about.pictures)) != 0:
        terminal.warning(f"No program could be started that shows {display(about.pictures)}")
