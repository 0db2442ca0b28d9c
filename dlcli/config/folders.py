"""Find the shipped and the user's conf folders, their groups and their options.

This module only reads the file system, so that completion and `list` stay fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dlcli.errors import ConfigError, Problem
from dlcli.files.paths import display, is_file, is_folder, resolved, typed
from dlcli.formatting import shell_line

PROJECT_FILE = "dlcli.yaml"


@cache
def shipped_folder() -> Path:
    """Return the conf folder that ships with dlcli: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def user_folders(conf_dirs: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the user's conf folders: `conf_dirs`, else DLCLI_CONF_DIR, else ./conf if it holds a dlcli.yaml.

    Raises:
        ConfigError: A folder that was named does not exist.
    """
    named = [(Path(folder), "--conf-dir") for folder in conf_dirs]
    if not named:
        variable = os.environ.get("DLCLI_CONF_DIR", "")
        named = [(Path(part), "DLCLI_CONF_DIR") for part in variable.split(os.pathsep) if part]
    if not named:
        here = Path("conf")
        named = [(here, "")] if (here / PROJECT_FILE).is_file() else []
    missing = [
        Problem("is not a folder", str(folder), f"Correct {source}, or create the folder.")
        for folder, source in named
        if not is_folder(typed(folder))
    ]
    if missing:
        raise ConfigError(missing)
    found = dict.fromkeys(resolved(typed(folder)) for folder, _ in named)
    found.pop(shipped_folder(), None)
    return tuple(found)


def folder_above() -> Path | None:
    """Return the conf folder of the project that the current folder lies in, unless it is the current folder's own.

    It is not used, only named in messages: it may be another person's, and the paths in it, the data and the runs are
    relative to the project's folder.
    """
    here = resolved(Path())
    if is_file(here / "conf" / PROJECT_FILE):
        return None
    return next((above / "conf" for above in here.parents if is_file(above / "conf" / PROJECT_FILE)), None)


def forgotten_folder(group: str, name: str) -> str:
    """Return a hint if the option exists in ./conf, or in that of a project above, and the command does not use it."""
    file = Path("conf", group, f"{name}.yaml")
    if file.is_file():
        return f"{file} exists: add its folder with -C conf."
    above = folder_above()
    file = (above or Path()) / group / f"{name}.yaml"
    if above is None or not file.is_file():
        return ""
    return f"{file} exists: run the command in {above.parent}, or add {shell_line('-C', str(above))}."


def extend_path(folders: Sequence[Path]) -> None:
    """Append the parent of each user folder to `sys.path`, so that the code there is importable.

    Installed packages keep precedence.
    """
    for folder in folders:
        parent = str(folder.parent)
        if parent not in sys.path:
            sys.path.append(parent)


def groups(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Return the names of all groups in the shipped and the given folders; nested groups as `sweep/sampler`."""
    return tuple(sorted(_shipped_groups(shipped_folder()).union(*map(_groups_in, folders))))


@cache
def _shipped_groups(root: Path) -> frozenset[str]:
    # A folder that holds only groups is not a group. An empty shipped folder is one: a user may add options to it.
    return frozenset(_groups_in(root) | {place.name for place in root.glob("[!._]*") if place.is_dir()})


def _groups_in(root: Path) -> set[str]:
    found = set()
    for current, below, files in os.walk(root):
        # Hydra's own groups are hidden, because dlcli controls the settings that they hold.
        below[:] = [name for name in below if not name.startswith((".", "_")) and name != "hydra"]
        name = Path(current).relative_to(root).as_posix()
        if name != "." and any(_is_option(file) for file in files):
            found.add(name)
    return found


def options(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the options of one group, as a mapping of name to YAML file, sorted by name."""
    files = [
        *_shipped_options(shipped_folder(), group),
        *(file for root in folders for file in (root / group).glob("*.yaml")),
    ]
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem) if _is_option(file.name)}


@cache
def _shipped_options(root: Path, group: str) -> tuple[Path, ...]:
    return tuple((root / group).glob("*.yaml"))


def conflicts(folders: Sequence[Path]) -> list[Problem]:
    """Return what Hydra would ignore silently: an option in two folders, and a config.yaml in a user's folder."""
    problems = [
        Problem(
            "is not read: the shipped config.yaml is the only one",
            display(folder / "config.yaml"),
            f"Move its keys to {display(folder / PROJECT_FILE)} (project-wide defaults) and delete it.",
        )
        for folder in folders
        if (folder / "config.yaml").is_file()
    ]
    for group in groups(folders) if folders else ():
        seen: dict[str, Path] = {}
        for root in (shipped_folder(), *folders):
            for file in sorted((root / group).glob("*.yaml")):
                if file.stem in seen and _is_option(file.name):
                    problems.append(
                        Problem(
                            f"is defined in two folders: {display(seen[file.stem])} and {display(file)}",
                            f"{group}={file.stem}",
                            "Rename one of the two files.",
                        )
                    )
                seen.setdefault(file.stem, file)
    return problems


def _is_option(file: str) -> bool:
    return file.endswith(".yaml") and not file.startswith(".")
