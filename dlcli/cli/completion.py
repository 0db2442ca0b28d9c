"""`dlcli completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell that you use.")],
) -> None:
    """Print the script that completes commands, groups, options, keys and run names; its first lines say where it goes."""
    import dlcli.completion

    typer.echo((Path(dlcli.completion.__file__).parent / f"dlcli.{shell}").read_text(), nl=False)
