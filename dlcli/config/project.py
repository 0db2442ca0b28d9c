"""Project-wide defaults: the keys of a dlcli.yaml in a user's conf folder. Experiments override them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.config.folders import PROJECT_FILE, shipped_folder, user_folders
from dlcli.config.overrides import Setting, leaves
from dlcli.config.yaml_file import lines, read
from dlcli.files.paths import display


def project_defaults(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the value of each key or group; later folders take precedence.

    Raises:
        ConfigError: A file cannot be read.
    """
    return {setting.key: setting.value for setting in project_settings(folders)}


def default_runs_dir(folders: Sequence[Path] | None = None) -> Path:
    """Return the runs folder that commands use by default.

    Args:
        folders: the conf folders whose dlcli.yaml may name it; None for those of the project and the environment.

    Raises:
        ConfigError: A file cannot be read.
    """
    defaults = read(shipped_folder() / "config.yaml")
    return Path({**defaults, **project_defaults(user_folders() if folders is None else folders)}["runs_dir"])


def project_settings(folders: Sequence[Path]) -> list[Setting]:
    """Return the project-wide defaults as settings, with their file and line as `source`."""
    found: dict[str, Setting] = {}
    for folder in folders:
        file = folder / PROJECT_FILE
        if not file.is_file():
            continue
        at = lines(file)
        for key, value in read(file).items():
            for leaf in leaves(Setting(str(key), value)):
                source = f"{display(file)}:{at.get(leaf.key, at.get(str(key), 1))}"
                found[leaf.key] = Setting(leaf.key, leaf.value, source=source)
    return list(found.values())
