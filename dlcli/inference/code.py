"""The user's own code in a run: kept with it, and run again only where the user vouches for it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.inference.saved_model import targets
from dlcli.paths import display


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


def admit_code(code: Path, folders: Sequence[Path], *, trust: bool) -> bool:
    """Whether the run's own code may run; makes it importable where it may.

    With `trust` the copies in the run's folder are used. Without it, each copy must lie, byte for byte, in a folder
    that the user named.

    Raises:
        CorruptRun: a file in such a folder is not what it was when the run was made.
    """
    copies = sorted(code.rglob("*.py"))
    if trust:
        if copies:
            sys.path.append(str(code))
        return True
    vouched = bool(copies)
    for copy in copies:
        there = [file for folder in folders if (file := folder / copy.relative_to(code)).is_file()]
        if there and not any(_same(file, copy) for file in there):
            raise CorruptRun(
                "has changed since the run was made",
                where=display(there[0]),
                hint=f"Give --trust to use the copy that the run keeps: {display(copy)}",
            )
        vouched = vouched and bool(there)
    return vouched


def _same(file: Path, copy: Path) -> bool:
    return file.read_bytes() == copy.read_bytes()


def _is_loaded_from(top: str, place: Path) -> bool:
    """Whether importing `top` reads this place, and not an installed package of the same name."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return False
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(Path(origin).resolve().is_relative_to(place.resolve()) for origin in origins if origin)
