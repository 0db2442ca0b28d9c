"""Check that the recorded configuration of a run has the form of a composed configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.environment import variables
from dlcli.config.own_keys import Root
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.config.signature import signature
from dlcli.config.typecheck import mismatch
from dlcli.config.validate import NEEDED, OPTIONAL, validate
from dlcli.errors import CorruptRun, Problem

_COPY = "Copy the folder again."
_OWN = "Correct or restore it, or use --trust to run the copy in the run's folder."


def check_sections(config: Mapping[str, Any], file: Path) -> None:
    """Check that all keys and sections are present and have the right form; nothing is imported.

    Raises:
        CorruptRun: Keys or sections are missing or malformed; the error lists all of them.
    """
    _refuse(_of_sections(config), file, config)


def check_values(config: Mapping[str, Any], file: Path) -> None:
    """Check keys, types and ranges as `compose` does; the targets are imported.

    Raises:
        CorruptRun: The configuration is invalid; the error lists all problems.
    """
    left_out = (Problem("is missing", section) for section in OPTIONAL if section not in config)
    found = (
        problem
        for problem in validate(config, set(config), SUPPLIED)
        if not variables(_at(config, problem.where))  # a reference has a type only once it is read
    )
    _refuse(chain(left_out, found), file, config)


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def _of_sections(config: Mapping[str, Any]) -> Iterator[Problem]:
    for key, argument in signature(Root).arguments.items():
        if key not in config:
            if argument.required:
                yield Problem("is missing", key)
        elif found := mismatch(config[key], argument):
            yield Problem(found[0], key)
    for section in NEEDED:
        node = config.get(section)
        if not isinstance(node, Mapping):
            yield Problem("is missing" if node is None else "is not a section with keys", section)
        elif not isinstance(node.get("_target_"), str):
            yield Problem("has no _target_", section)
    for section in OPTIONAL:
        if not isinstance(config.get(section, {}), Mapping):
            yield Problem("is not a section with keys", section)


def _is_own(problem: Problem, config: Mapping[str, Any]) -> bool:
    """Return whether a problem is that of the user's code, which cannot be imported."""
    target = _at(config, problem.where)
    is_name = problem.where.endswith(f".{TARGET}") and isinstance(target, str)
    return is_name and not target.startswith(("dlcli.", "torch.", "pytorch_lightning."))


def _refuse(problems: Iterator[Problem], file: Path, config: Mapping[str, Any]) -> None:
    found = [
        replace(problem, where=f"{file}: {problem.where}", hint=_OWN if _is_own(problem, config) else _COPY)
        for problem in problems
    ]
    if found:
        raise CorruptRun(found)
