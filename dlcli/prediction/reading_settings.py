"""Settings for reading files of new rows: those of the run's dataset, unless the user overrides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from dlcli.config.signature import UNKNOWN, Argument
from dlcli.config.suggest import choices, hint, near, question
from dlcli.config.typecheck import mismatch
from dlcli.errors import ConfigError, Problem
from dlcli.files.paths import typed

_SECTION = "dataset."

Settings = TypeVar("Settings")


def files_and_settings(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Split words into files and settings such as `dataset.separator=;`."""
    settings = [word for word in words if word.startswith(_SECTION) and "=" in word]
    return [typed(word) for word in words if word not in settings], settings


def read_settings(
    kind: type[Settings], recorded: Mapping[str, Any], overrides: Sequence[str], **defaults: Any
) -> Settings:
    """Return settings of a kind: the given overrides, else the values of the run's section `dataset`.

    Raises:
        ConfigError: An override has an unknown name or an invalid value.
    """
    # The signature is not used, because inherited annotations may name types that the module of the class does not
    # import.
    hints = get_type_hints(kind, include_extras=True)
    takes = {name: Argument(annotation, UNKNOWN, required=False) for name, annotation in hints.items()}
    asked: dict[str, Any] = {}
    problems = []
    for word in overrides:
        name, _, text = word.removeprefix(_SECTION).partition("=")
        asked[name] = _value(text, takes.get(name))
    for name, value in asked.items():
        key = f"{_SECTION}{name}"
        if name not in takes:
            close = question(f"{_SECTION}{other}" for other in near(name, takes))
            known = hint(close, choices(f"{_SECTION}{other}" for other in takes))
            problems.append(Problem("is not a setting for reading new rows", key, known))
        elif found := mismatch(value, takes[name]):
            problems.append(Problem(found[0], key, found[1]))
    if problems:
        raise ConfigError(problems)
    own = {  # a user's dataset may have an argument with the same name and another type
        name: recorded[name]
        for name, argument in takes.items()
        if recorded.get(name) is not None and not mismatch(recorded[name], argument)
    }
    return kind(**{**defaults, **own, **asked})


def _value(text: str, argument: Argument | None) -> Any:
    """Parse the value after `=` as YAML, unless the argument takes text (`,` and `|` have a meaning in YAML)."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    quoted = isinstance(value, str) and text[0] in "'\""
    null = value is None and argument is not None and not mismatch(None, argument)
    return value if quoted or null or argument is None or mismatch(text, argument) else text
