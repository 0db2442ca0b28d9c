"""The composition root: one module per command, whose function takes the command's arguments and returns its result.

`dlcli.cli` and the Python API import the module of a command when it is called. So the modules import at their top what
the command needs, and no command loads what only another one needs.
"""

from __future__ import annotations

from pathlib import Path

from dlcli.config.project import default_runs_dir


def runs_directory(given: Path | None) -> Path:
    """Return the folder of all runs, for commands that compose no configuration."""
    return given or default_runs_dir()
