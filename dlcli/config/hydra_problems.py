"""Translate errors of Hydra, OmegaConf and PyYAML into problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.config.yaml_file import lines, yaml_problem
from dlcli.errors import Problem
from dlcli.files.paths import display


def problem_of(error: BaseException, where: str = "", files: Sequence[Path] = ()) -> Problem:
    """Return the problem that an exception of Hydra's composition describes.

    Args:
        error: The exception.
        where: The key to report if the exception does not name one.
        files: YAML files of the chosen options.
    """
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    if isinstance(first, yaml.MarkedYAMLError) and first.problem_mark:
        mark = first.problem_mark
        return yaml_problem(first, display(Path(mark.name)))
    text = str(first) or str(error) or type(first).__name__
    for pattern, say in _KNOWN:
        if match := re.search(pattern, text, re.DOTALL):
            found = say(match, files)
            return found if found.where else replace(found, where=where)
    return Problem(f"cannot be composed: {text.splitlines()[0]}", where)


def _no_option(match: re.Match[str], files: Sequence[Path]) -> Problem:
    file, group, option, listed = match["file"], match["group"], match["option"], match["there"]
    there = [line.strip() for line in listed.splitlines() if line.strip()] if listed else []
    # Hydra names the file whose entry was overridden, but the mistake is in the file with the override.
    places = [
        f"{display(candidate)}:{line}"
        for candidate in files
        for key, line in lines(candidate).items()
        if key.startswith("defaults.") and key.split("/")[-1].split("@")[0] == group.split("/")[-1]
    ]
    place = places[-1] if places else f"{file}.yaml" if file else ""
    return Problem(
        f"there is no option {option} in group {group}" + (f" ({place})" if place else ""),
        f"{group}={option}",
        hint(did_you_mean(option, there), choices(there)),
    )


def _not_in_defaults(match: re.Match[str], files: Sequence[Path]) -> Problem:
    group, package = match["group"], match["package"]
    if package:
        # In an option's file, Hydra interprets `override /group` as a group below that option.
        fix = f"Write it as: override /{group}@_global_.{group}: OPTION"
        return Problem(f"override /{group} does not reach the group {group}", f"{match['file']}.yaml", fix)
    return Problem(
        f"override /{group}: this group is in no defaults list",
        f"{match['file']}.yaml" if match["file"] else group,
        "Correct the name, or remove the word override.",
    )


def _must_choose(match: re.Match[str], files: Sequence[Path]) -> Problem:
    return Problem("an option is required", match["group"], f"Add {match['group']}=OPTION.")


def _no_list(match: re.Match[str], files: Sequence[Path]) -> Problem:
    key = match["key"] or ""
    return Problem("should be a mapping, not a list", key, "Write one KEY: VALUE per line, without dashes.")


_KNOWN: tuple[tuple[str, Callable[[re.Match[str], Sequence[Path]], Problem]], ...] = (
    (
        r"(?:In '(?P<file>[^']*)': )?Could not find '(?P<group>[^']+)/(?P<option>[^'/]*)'"
        r"(?:.*?Available options in '[^']*':\n(?P<there>(?:\t[^\n]*\n?)*))?",
        _no_option,
    ),
    (
        r"(?:In '(?P<file>[^']*)': )?Could not override '(?P<group>[^'@]+)(?:@(?P<package>[^']*))?'",
        _not_in_defaults,
    ),
    (r"Cannot merge DictConfig with ListConfig(?:.*?full_key: (?P<key>[^\s]+))?", _no_list),
    (r"You must specify '(?P<group>[^']+)'", _must_choose),
)
