"""Remove a run's folder without a ledger, whose creation was interrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlcli.files.unfinished import remove_abandoned
from dlcli.tracking.ledger import LEDGER_FILE
from dlcli.tracking.places import is_run_id, run_folder


def remove_unrecorded(runs_dir: Path, about: Mapping[str, Any]) -> Path | None:
    """Remove the folder of a run without a ledger, which is written after the run's first files.

    Only abandoned temporary files and files that the creation of a run writes are deleted. A folder with any other file
    is kept, because its ledger may have been lost.

    Args:
        runs_dir: the runs folder. Links in it are not followed.
        about: the run's entry (`dlcli.tracking.liveness`).

    Returns:
        The folder that is kept; None if there is none.
    """
    run_id, names = about.get("run_id"), about.get("files", ())
    if not isinstance(run_id, str) or not is_run_id(run_id):
        return None
    folder = run_folder(runs_dir, str(about.get("experiment")), run_id)
    if any(place.is_symlink() or not place.is_dir() for place in (folder.parents[1], folder.parent)):
        return None
    if folder.is_symlink() or os.path.lexists(folder / LEDGER_FILE):
        return None
    places = [Path(place) for place, _, _ in os.walk(folder)]  # from the top
    for place in places:
        remove_abandoned(place)
    ours = {folder / name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    found = {Path(place) / name for place, _, files in os.walk(folder) for name in files}
    if not found <= ours:
        return folder
    for file in found:
        with suppress(OSError):
            file.unlink()
    for place in (*reversed(places), folder.parent):
        with suppress(OSError):
            place.rmdir()
    return folder if folder.exists() else None
