"""Leave out keys that a file sets for another option than the one that the command line chooses.

`experiment=wine_mlp cv=holdout` needs no number of folds, although the experiment sets one. Keys that are typed, or
that the option's own file sets, stay: if the option does not accept them, they are mistakes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.folders import options
from dlcli.config.group_choices import Picks
from dlcli.config.keys import own_keys, read_signature
from dlcli.config.yaml_file import read
from dlcli.errors import Problem
from dlcli.files.paths import display


def leave_out_of_project(
    project: Picks, chosen: Mapping[str, Any], folders: Sequence[Path]
) -> tuple[Picks, tuple[Problem, ...]]:
    """Return the settings of dlcli.yaml files without those for replaced options, and a warning for each left out.

    Args:
        project: settings of the folders' dlcli.yaml files.
        chosen: group to the option that takes precedence, such as that of the command line.
        folders: the user's conf folders.
    """
    values, warnings = [], []
    for setting in project.values:
        *parents, key = setting.key.split(".")
        while parents and "/".join(parents) not in chosen:
            key = parents.pop()
        group = "/".join(parents)
        there = options(group, folders) if group else {}
        file = there.get(chosen.get(group) or "")
        target = read(file).get(TARGET) if file else None
        fits_other = (
            project.options[group] != chosen[group]
            if group in project.options
            else any(key in read(other) for other in there.values())
        )
        if fits_other and target is not None and not _is_accepted(target, ".".join(parents), key):
            warnings.append(_warning(group, chosen[group], key, setting.source))
        else:
            values.append(setting)
    return replace(project, values=values), tuple(warnings)


def leave_out_replaced(
    config: Any,
    chosen: Mapping[str, Any],
    typed: Collection[str],
    known: Mapping[str, str],
    folders: Sequence[Path],
) -> tuple[Problem, ...]:
    """Remove the keys of experiments and datasets for replaced options, and return a warning for each.

    Args:
        config: the configuration, a DictConfig that is changed.
        chosen: group to option of the command line.
        typed: dotted keys of the command line.
        known: origin of each key, `FILE:LINE`.
        folders: the user's conf folders.
    """
    warnings = []
    for group, option in chosen.items():
        section, file, node = group.replace("/", "."), options(group, folders).get(option), config
        for name in section.split("."):
            node = node.get(name) if isinstance(node, Mapping) else None
        if file is None or not isinstance(node, MutableMapping) or TARGET not in node:
            continue
        for key in [str(key) for key in node]:
            place = f"{section}.{key}"
            origin = known.get(place, "")
            is_chosen = place.replace(".", "/") in chosen
            if is_chosen or any(word == place or word.startswith(f"{place}.") for word in typed):
                continue
            from_other_file = origin and not origin.startswith(f"{display(file)}:")
            if from_other_file and not _is_accepted(node[TARGET], section, key):
                del node[key]
                warnings.append(_warning(group, option, key, origin))
    return tuple(warnings)


def _is_accepted(target: Any, section: str, key: str) -> bool:
    """Return whether a key may be set in a section with this target; True if the target cannot be read."""
    takes = read_signature(target)
    return (
        takes is None
        or takes.is_open
        or key.startswith("_")
        or key in takes.arguments
        or key in own_keys(section)
    )


def _warning(group: str, option: str, key: str, origin: str) -> Problem:
    return Problem(
        f"is left out: {group}={option} has no argument {key} ({origin})",
        f"{group.replace('/', '.')}.{key}",
        f"It was set for another option of {group}.",
    )
