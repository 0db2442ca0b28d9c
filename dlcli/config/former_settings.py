"""Shipped options, and settings of theirs, whose defaults have changed since a run or search was started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.compose import Composed
from dlcli.config.folders import options, shipped_folder
from dlcli.config.keys import own_keys, read_signature
from dlcli.config.provenance import nearest, origins
from dlcli.config.set_by_user import set_by_command
from dlcli.config.yaml_file import read
from dlcli.files.paths import display

# Groups whose default option a dataset or a model chooses; the data chooses task and preprocessing.
DEPENDENT_GROUPS = (
    *("model", "optimizer", "scheduler", "weight_averaging", "callbacks", "trainer", "augmentation"),
    *("finetune", "finder"),
)


def completed(was: Mapping[str, Any], now: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return a recorded configuration with the keys that did not exist when it was recorded.

    They get the default of their argument, which keeps the behaviour of that version; the shipped file may set another.
    """
    filled = dict(was)
    if was.get(TARGET) != now.get(TARGET):
        return filled
    read = read_signature(now[TARGET]) if TARGET in now else None
    known = {**(read.arguments if read else {}), **own_keys(section)}
    for name, value in now.items():
        if isinstance(value, Mapping) and isinstance(was.get(name), Mapping):
            filled[name] = completed(was[name], value, f"{section}.{name}" if section else name)
        elif name not in was and name in known and not known[name].required:
            filled[name] = known[name].default
    return filled


def former_settings(composed: Composed, now: Mapping[str, Any], was: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded value of each key that a shipped file sets to another value today.

    Args:
        composed: the configuration as it is composed today. Keys that the command line or the user's own files set are
            not returned.
        now: what is trained, in this configuration with all choices made.
        was: the same in the recorded configuration (`completed`).
    """
    shipped, known = f"{display(shipped_folder())}{os.sep}", origins(composed.composition, composed.settings)
    return {key: value for key, value in _changed(now, was) if nearest(key, known).startswith(shipped)}


def former_options(composed: Composed, was: Mapping[str, Any]) -> dict[str, str]:
    """Return the recorded option of each group for which the shipped files choose another one today.

    A record contains the keys of an option but not its name. The shipped option with the same target, or the same keys
    if it has no target, is returned; of several the one with the most equal values. Other values that have changed
    follow from `former_settings`. Nothing is returned for groups that the command line names. If the user has conf
    folders, whose files may have chosen the option, only options that a dlcli.yaml replaces today, and did not replace
    in former versions, are returned.

    Args:
        composed: the configuration as it is composed today, without the keys that are searched.
        was: the recorded configuration.
    """
    given = set_by_command(composed)
    if folders := composed.composition.folders:
        return {
            group: option
            for group, option in composed.replaced.items()
            if group not in given
            and _shape(read(options(group, folders)[option]))
            == _shape(_section(was, group))
            != _shape(_section(composed.config, group))
        }
    found: dict[str, str] = {}
    added = [word.partition("=")[0] for word in composed.of_series.words]
    for group in (*DEPENDENT_GROUPS, *(key for key in added if "/" in key)):
        recorded = _section(was, group)
        if group in given or _shape(recorded) == _shape(_section(composed.config, group)):
            continue
        known = {option: read(file) or {} for option, file in options(group).items()}
        fitting = {option: node for option, node in known.items() if _shape(node) == _shape(recorded)}
        if fitting:
            found[group] = max(fitting, key=lambda option: _equal_values(fitting[option], recorded))
    return found


def _section(config: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    for name in group.split("/"):
        config = config.get(name) or {}
    return config


def _shape(section: Mapping[str, Any]) -> object:
    """Return what distinguishes the options of a group: the target, or the keys of a section without one."""
    return section.get(TARGET) or frozenset(section.keys() - {"defaults"})


def _equal_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(
        _equal_values(value, other[key])
        if isinstance(value, Mapping) and isinstance(other.get(key), Mapping)
        else value == other.get(key)
        for key, value in one.items()
    )


def _changed(now: Mapping[str, Any], was: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name in now.keys() & was.keys() if now.get(TARGET) == was.get(TARGET) else ():
        if isinstance(now[name], Mapping) and isinstance(was[name], Mapping):
            yield from _changed(now[name], was[name], f"{section}{name}.")
        elif now[name] != was[name]:
            yield f"{section}{name}", was[name]
