"""List the groups and their options, and explain each option's keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.config.comments import comments
from dlcli.config.folders import forgotten_folder, groups, options
from dlcli.config.keys import own_keys, read_signature
from dlcli.config.reserved_keys import SUPPLIED, supplied_to
from dlcli.config.signature import UNKNOWN
from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.config.target_kinds import ONE_A_ROW
from dlcli.config.typecheck import type_name
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError


@dataclass(frozen=True)
class Option:
    """One option of a group: its name, the first sentence of its file's header and its file."""

    name: str
    summary: str
    file: Path


@dataclass(frozen=True)
class Key:
    """One key of an option: dotted name below the group, value, type (empty where unknown) and explanation."""

    name: str
    value: Any
    type: str
    explanation: str = ""
    is_section: bool = False


@dataclass(frozen=True)
class Explained:
    """An option with all its keys; `more` holds further arguments of its target, with their defaults."""

    group: str
    name: str
    file: Path
    header: str
    target: str
    keys: tuple[Key, ...]
    more: tuple[Key, ...]


def accepting(group: str, kind: str, targets: str | None = None) -> list[str]:
    """Return the names of a group's shipped options whose target lists a kind of data or targets in `accepts`.

    Args:
        group: the group.
        kind: the kind that `accepts` has to list.
        targets: for the group `model`, also the kind of targets that the model's outputs must fit (`is_for`).
    """
    found = {option: locate(read(file)[TARGET]) for option, file in options(group).items()}
    return [
        option
        for option, target in found.items()
        if kind in getattr(target, "accepts", ()) and (targets is None or is_for(target, targets))
    ]


def is_for(model: Any, targets: str) -> bool:
    """Return whether the outputs of a shipped model fit a kind of targets.

    A model lists these kinds in its attribute `targets`; one without the attribute fits all that have one output per
    row.
    """
    own = getattr(model, "targets", None)
    return targets in ONE_A_ROW if own is None else targets in own


def list_options(group: str, folders: Sequence[Path] = ()) -> list[Option]:
    """Return the options of a group, sorted by name.

    Raises:
        ConfigError: The group does not exist.
    """
    known = groups(folders)
    if group not in known:
        raise ConfigError(
            "there is no such group", group or "''", hint(did_you_mean(group, known), choices(known))
        )
    return [Option(name, comments(file).summary, file) for name, file in options(group, folders).items()]


def explain_option(group: str, name: str, folders: Sequence[Path] = ()) -> Explained:
    """Return an option's keys with their types and explanations; imports its target if it has one.

    Raises:
        ConfigError: The group or the option does not exist.
    """
    files = {option.name: option.file for option in list_options(group, folders)}
    if name not in files:
        raise ConfigError(
            f"there is no option {name} in group {group}",
            f"{group}/{name}",
            forgotten_folder(group, name) or hint(did_you_mean(name, files), choices(files)),
        )
    content, documented = read(files[name]), comments(files[name])
    content.pop("defaults", None)
    keys = tuple(_keys(content, "", documented.keys, group))
    more = tuple(_more(content, group))
    return Explained(group, name, files[name], documented.header, content.get(TARGET, ""), keys, more)


def _place(group: str) -> str:
    """Return the place of an option's keys in the configuration: each metric has a section of its own."""
    return f"{group}.*" if group == "metric" else group


def _keys(node: dict[str, Any], prefix: str, explanations: dict[str, str], group: str) -> list[Key]:
    takes = read_signature(node[TARGET]) if TARGET in node else None
    known = {**(takes.arguments if takes else {}), **(own_keys(_place(group)) if not prefix else {})}
    found: list[Key] = []
    for key, value in node.items():
        if key in (TARGET, PARTIAL):
            continue
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found.append(Key(name, {}, value.get(TARGET, ""), explanations.get(name, ""), is_section=True))
            found += _keys(value, f"{name}.", explanations, group)
        else:
            kind = type_name(known[key].annotation) if key in known else ""
            found.append(Key(name, value, kind, explanations.get(name, "")))
    return found


def _more(node: dict[str, Any], group: str) -> list[Key]:
    """Return the arguments of a target that are not in its YAML, without those that dlcli supplies."""
    takes = read_signature(node[TARGET]) if TARGET in node else None
    return [
        Key(name, _plain(argument.default), type_name(argument.annotation))
        for name, argument in (takes.arguments if takes else {}).items()
        if name not in node and name not in supplied_to(_place(group), SUPPLIED)
    ]


def _plain(default: Any) -> Any:
    """Return an argument's default in a form that YAML can represent; `???` for a required argument."""
    if default is UNKNOWN:
        return "???"
    if isinstance(default, tuple | list):
        return [_plain(item) for item in default]
    return default if default is None or isinstance(default, bool | int | float | str) else repr(default)
