"""Project-wide defaults: the keys of a dlcli.yaml in a user's conf folder. Experiments override them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from dlcli.config.folders import PROJECT_FILE, shipped_folder, user_folders
from dlcli.config.overrides import Setting, leaves, named_by
from dlcli.config.yaml_file import lines, read
from dlcli.errors import ConfigError, DataError, Problem
from dlcli.files.paths import display

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


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


def naming_project_file(plan: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorate a function of `overrides` and `conf_dirs`: its problems name the dlcli.yaml that sets their key."""

    @wraps(plan)
    def planned(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return plan(*args, **kwargs)
        except (ConfigError, DataError) as error:
            given = signature(plan).bind(*args, **kwargs).arguments
            folders = user_folders(given.get("conf_dirs", ()))
            placed = [_placed(problem, given["overrides"], folders) for problem in error.problems]
            if placed == list(error.problems):
                raise
            raise type(error)(placed) from error

    return planned


def _placed(problem: Problem, overrides: Sequence[str], folders: Sequence[Path]) -> Problem:
    """Return the problem with the file and line of its key, or of the option of its group, if a dlcli.yaml sets it."""
    typed = set(map(named_by, overrides))
    sources = {setting.key: setting.source for setting in project_settings(folders)}
    key = problem.where.partition("=")[0]
    while key and key not in sources and key not in typed:
        key = key.rpartition(".")[0]
    if key in typed or key not in sources or sources[key] in problem.message:
        return problem
    return replace(problem, message=f"{problem.message} ({sources[key]})")
