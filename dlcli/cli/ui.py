"""`dlcli ui`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dlcli.cli.common import RunsDir, session


def ui(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="The port on this machine.")
    ] = 5000,
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the address in the browser of this machine.")
    ] = True,
    runs_dir: RunsDir = None,
) -> None:
    """Open the MLflow UI on the store that dlcli records to, on the newest experiment."""
    with session() as terminal:
        from dlcli.runner import ui as runner

        desktop = sys.platform == "darwin" or any(os.environ.get(x) for x in ("DISPLAY", "WAYLAND_DISPLAY"))
        browser = open_it and desktop and terminal.live  # elsewhere, a browser for terminals might open
        runner.ui(port, runs_dir=runs_dir, tell=terminal.note, browser=browser)
