"""`dlcli ui`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import RunsDir, session


def ui(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="The port on this machine.")
    ] = 5000,
    runs_dir: RunsDir = None,
) -> None:
    """Open the MLflow UI on the store that dlcli records to."""
    with session() as terminal:
        from dlcli.runner import ui as runner

        runner.ui(port, runs_dir=runs_dir, tell=terminal.note)
