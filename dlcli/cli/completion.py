"""`dlcli completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import dlcli


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="The shell that you use.")
    ],
) -> None:
    """Print the script for Tab completion of commands, options, keys and run names, with how to install it."""
    scripts = Path(dlcli.__file__).parent / "completion"
    typer.echo((scripts / f"dlcli.{shell}").read_text(), nl=False)
