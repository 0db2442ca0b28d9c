"""The composition root: one module per command. Its function takes the command's arguments and returns the result.

`dlcli.cli` and the Python API import the module of a command when the command is called. The modules can therefore
import at the top what their command needs, and no command loads what only another one needs.
"""

from __future__ import annotations

from pathlib import Path

from dlcli.config.project import default_runs_dir


def runs_directory(given: Path | None) -> Path:
    """Return the folder of all runs, for commands that compose no configuration."""
    return given or default_runs_dir()
