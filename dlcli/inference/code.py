"""Collect the user's code that a run needs. `dlcli.gate.vouching` decides whether it may be executed later."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.gate.gate import targets


def own_code(config: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, bytes]:
    """Return path and content of the modules that the `_target_`s name, if they are in one of the user's folders.

    For a module of a package all modules of the package are returned, because it may import them.
    """
    files: dict[str, bytes] = {}
    for top in {target.partition(".")[0] for target in targets(config)}:
        for folder in folders:
            for place in (folder / top, folder / f"{top}.py"):
                if place.exists() and _is_loaded_from(top, place):
                    sources = sorted(place.rglob("*.py")) if place.is_dir() else [place]
                    files |= {
                        source.relative_to(folder).as_posix(): source.read_bytes() for source in sources
                    }
    return files


def _is_loaded_from(top: str, place: Path) -> bool:
    """Return whether `import top` loads this file or folder, rather than an installed package of the same name."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return False
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(Path(origin).resolve().is_relative_to(place.resolve()) for origin in origins if origin)
