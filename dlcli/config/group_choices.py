"""Separate the settings that choose a group's option from those that set a key, and check the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.config.folders import forgotten_folder, groups, options
from dlcli.config.foreign_settings import options_meant
from dlcli.config.metric_words import metrics_meant
from dlcli.config.overrides import Setting
from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, hint, near, question
from dlcli.errors import Problem


@dataclass
class Picks:
    """Settings sorted into options of groups and values of keys.

    Attributes:
        options: Group to chosen option. For a misspelt option this is the nearest name, if there is one, so that
            the other keys of the command line can still be checked.
        values: Settings of keys.
        problems: Mistakes among the options.
        unsure: Groups whose option is unknown and resembles no other; their sections cannot be validated.
    """

    options: dict[str, Any] = field(default_factory=dict)
    values: list[Setting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)


def sort(settings: Sequence[Setting], folders: Sequence[Path], defaults: Mapping[str, Any]) -> Picks:
    """Sort settings into groups and keys by the folders on disk, and check each option.

    Args:
        settings: The settings.
        folders: The user's conf folders.
        defaults: Group to option in config.yaml's defaults list.
    """
    picks = Picks()
    known = groups(folders)
    for setting in settings:
        if setting.key.startswith("metric/"):  # in Hydra's way, an option of many
            setting = replace(setting, key="metric")
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
    if group == "metric":
        asked = map(_text, value if isinstance(value, list) else [value])
        named = list(dict.fromkeys(name for word in asked for name in metrics_meant(word, there)[:1]))
        example = named or ["mcc"]
        chosen, best = pasted("task.metrics", ["default", *example]), pasted("monitor", f"val/{example[0]}")
        how = hint(
            "" if named else choices(there), f"Write {chosen}, or to choose the best epoch by it {best}."
        )
        picks.problems.append(_problem(setting, "the metrics are a list of the task", how))
        return
    if setting.kind == "delete" or value is None:
        if defaults.get(group, None) is None:
            picks.options[group] = None
        else:
            picks.problems.append(
                _problem(setting, "an option is required", choices(there), text=f"{group}=null")
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
        close = options_meant(group, name, there)
        message = f"there is no option {name}" if name else "names no option"
        forgotten = forgotten_folder(group, name)
        picks.problems.append(
            _problem(setting, message, forgotten or question(close), "" if forgotten else choices(there))
        )
        if close:
            meant.append(close[0])
        else:
            picks.unsure.add(group)
    if meant:
        picks.options[group] = meant if isinstance(value, list) else meant[0]


def _misspelt_group(setting: Setting, known: Sequence[str], folders: Sequence[Path]) -> bool:
    """Return whether the key resembles a group and the value resembles one of its options, as in `modle=mlp`."""
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
    """Return the value as the user wrote it. Option names are text, although `model=1` parses as a number."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
