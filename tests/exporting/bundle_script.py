"""The script of a bundle, whose functions tests call in this process."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any


def script(folder: Path, spec: dict[str, Any], *parts: str) -> dict[str, Any]:
    """Return the names of a script that consists of parts, with its settings."""
    (folder / "bundle.json").write_text(json.dumps(spec))
    files = resources.files("dlcli.exporting") / "bundle_files"
    found: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "script"}
    exec("".join(files.joinpath(part).read_text() for part in (*parts, "predict.txt")), found)
    return found
