"""`dlcli new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.common import Json, session
from dlcli.templates import Kind


def new(
    kind: Annotated[
        Kind,
        typer.Argument(metavar="KIND", help="What to write."),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; for a project, its folder.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="The folder of conf/ and the code; by default the current one."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the files of a new model, metric, loss, dataset or other part, which can be trained immediately."""
    with session(json) as terminal:
        from dlcli.config.yaml_file import display
        from dlcli.templates.scaffold import scaffold

        made = scaffold(kind, name, folder)
        if json:
            files = [str(file) for file in made.files]
            terminal.document({"status": "OK", "files": files, "command": made.command})
            return
        for file in made.files:
            terminal.note(f"wrote {display(file)}")
        terminal.note(f"Train it: {made.command}")
