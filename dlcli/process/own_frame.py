"""Find the user's code in the traceback of an error."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path


def own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame outside of Python, installed packages and dlcli; None if there is none."""
    folders = {*sysconfig.get_paths().values()} - {sysconfig.get_path("data")}
    libraries = [Path(__file__).parents[1], *map(Path, folders)]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_absolute() and not any(file.is_relative_to(folder) for folder in libraries):
            return frame
    return None
