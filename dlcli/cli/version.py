"""`dlcli version`."""

from __future__ import annotations

from dlcli import __version__
from dlcli.cli.common import session


def version() -> None:
    """Print the version, as `dlcli --version` does."""
    with session() as terminal:
        terminal.note(f"dlcli {__version__}")
