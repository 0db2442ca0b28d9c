"""Which settings choose a group's option, and whether that option exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcli.config.folders import groups, options
from dlcli.config.overrides import Setting
from dlcli.config.suggest import choices, hint, near, question
from dlcli.errors import Problem


@dataclass
class Picks:
    """Settings sorted into options of groups and values of keys, with what was wrong among the options.

    Where an option was misspelt and one name is near, `options` has that one: the keys of the same command
    line can then still be checked. `unsure` names the groups where nothing is near: their sections cannot be
    judged.
    """

    options: dict[str, Any] = field(default_factory=dict)
    values: list[Setting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)


def sort(settings: Sequence[Setting], folders: Sequence[Path], defaults: Mapping[str, Any]) -> Picks:
    """Tell groups from keys by the file system, and check each option. `defaults` are config.yaml's."""
    picks = Picks()
    known = groups(folders)
    for setting in settings:
        if setting.key in known and not isinstance(setting.value, dict):
            _option(setting, picks, folders, defaults)
        elif "/" in setting.key or _misspelt_group(setting, known, folders):
            _unknown_group(setting, picks, known, folders)
        else:
            picks.values.append(setting)
    return picks


def _option(setting: Setting, picks: Picks, folders: Sequence[Path], defaults: Mapping[str, Any]) -> None:
    group, value = setting.key, setting.value
    there = options(group, folders)
    if setting.kind == "delete" or value is None:
        if defaults.get(group, None) is None:
            picks.options[group] = None
        else:
            picks.problems.append(
                _problem(setting, "an option has to be chosen", choices(there), text=f"{group}=null")
            )
        return
    names = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not isinstance(defaults.get(group), list):
        picks.problems.append(_problem(setting, "takes one option, not a list", choices(there)))
        return
    meant = []
    for name in map(_text, names):
        if name in there:
            meant.append(name)
            continue
        close = near(name, there)
        message = f"there is no option {name}" if name else "names no option"
        forgotten = _forgotten_folder(group, name)
        picks.problems.append(
            _problem(setting, message, forgotten or question(close), "" if forgotten else choices(there))
        )
        if close:
            meant.append(close[0])
        else:
            picks.unsure.add(group)
    if meant:
        picks.options[group] = meant if isinstance(value, list) else meant[0]


def _forgotten_folder(group: str, name: str) -> str:
    """What to do where the option lies in the usual place, and nobody said that it counts."""
    file = Path("conf", group, f"{name}.yaml")
    return f"{file} is there: name its folder with -C conf." if file.is_file() else ""


def _misspelt_group(setting: Setting, known: Sequence[str], folders: Sequence[Path]) -> bool:
    """`modle=mlp` means a group: the name is near one, and the value is one of its options (or near one)."""
    if "." in setting.key or not isinstance(setting.value, str):
        return False
    return any(near(setting.value, options(group, folders)) for group in near(setting.key, known))


def _unknown_group(setting: Setting, picks: Picks, known: Sequence[str], folders: Sequence[Path]) -> None:
    close = near(setting.key, known)
    message = f"there is no group {setting.key}"
    picks.problems.append(_problem(setting, message, question(close), choices(known) if not close else ""))
    if close and _text(setting.value) in options(close[0], folders):
        picks.options.setdefault(close[0], _text(setting.value))


def _problem(setting: Setting, message: str, *hints: str, text: str = "") -> Problem:
    place = f" ({setting.source})" if setting.source else ""
    return Problem(message + place, text or f"{setting.key}={_text(setting.value)}", hint(*hints))


def _text(value: Any) -> str:
    """The value as the user wrote it: option names are text, though `model=1` parses as a number."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
