"""The user's own code in a run: kept with it; `dlcli.gate.vouching` decides whether it may run again."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.gate.gate import targets


def own_code(config: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, bytes]:
    """Path and content of the modules that `_target_`s of the configuration name, where they lie in the user's folders.

    A module of a package comes with its whole package, for what it imports from beside it.
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
    """Whether importing `top` reads this place, and not an installed package of the same name."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return False
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(Path(origin).resolve().is_relative_to(place.resolve()) for origin in origins if origin)
