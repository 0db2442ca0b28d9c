"""The user's own code in a run: kept with it, and run again only where the user vouches for it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.inference.saved_model import targets


def copy_code(config: Mapping[str, Any], folders: Sequence[Path], destination: Path) -> None:
    """Copy the modules that `_target_`s of the configuration name, where they lie in the user's folders.

    A module of a package is copied with its whole package, for what it imports from beside it.
    """
    for target in targets(config):
        top = target.partition(".")[0]
        for folder in folders:
            module, package = folder / f"{top}.py", folder / top
            if package.is_dir() and _is_loaded_from(top, package):
                shutil.copytree(
                    package,
                    destination / top,
                    ignore=lambda at, names: [
                        n for n in names if not (n.endswith(".py") or (Path(at) / n).is_dir())
                    ],
                    dirs_exist_ok=True,
                )
            elif module.is_file() and _is_loaded_from(top, module):
                destination.mkdir(parents=True, exist_ok=True)
                shutil.copy2(module, destination / module.name)


def admit_code(code: Path, folders: Sequence[Path], *, trust: bool) -> bool:
    """Whether the run's own code may run; makes it importable where it may.

    With `trust` the copies in the run's folder are used. Without it, each copy must lie, byte for byte, in a folder
    that the user named.
    """
    copies = sorted(code.rglob("*.py"))
    if trust:
        if copies:
            sys.path.append(str(code))
        return True
    return bool(copies) and all(
        any(_same(folder / copy.relative_to(code), copy) for folder in folders) for copy in copies
    )


def _same(file: Path, copy: Path) -> bool:
    return file.is_file() and file.read_bytes() == copy.read_bytes()


def _is_loaded_from(top: str, place: Path) -> bool:
    """Whether importing `top` reads this place, and not an installed package of the same name."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return False
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(Path(origin).resolve().is_relative_to(place.resolve()) for origin in origins if origin)
