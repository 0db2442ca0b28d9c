"""`dlcli help`."""

from __future__ import annotations

from typing import Annotated

import typer


def help(  # the command's name
    ctx: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command, such as train or runs show.")
    ] = None,
) -> None:
    """Explain a command, as `dlcli COMMAND --help` does."""
    words = [*(command or ()), "--help"]
    status = ctx.find_root().command.main(words, prog_name="dlcli", standalone_mode=False)
    raise typer.Exit(status or 0)
