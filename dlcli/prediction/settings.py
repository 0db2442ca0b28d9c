"""How files of new rows are read: as the run's own were, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from dlcli.config.signature import UNKNOWN, Argument
from dlcli.config.suggest import choices, hint, near, question
from dlcli.config.typecheck import mismatch
from dlcli.errors import ConfigError, Problem
from dlcli.files.paths import typed

_SECTION = "dataset."

Settings = TypeVar("Settings")


def divide(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files and settings, such as `dataset.separator=;`."""
    settings = [word for word in words if word.startswith(_SECTION) and "=" in word]
    return [typed(word) for word in words if word not in settings], settings


def read_settings(
    kind: type[Settings], recorded: Mapping[str, Any], overrides: Sequence[str], **defaults: Any
) -> Settings:
    """Settings of a kind: those that are given, else as the run's own section `dataset` has them.

    Raises:
        ConfigError: one is given that there is not, or that it cannot be.
    """
    # Not the signature's: what a class inherits names types that its own module may not know.
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
            problems.append(Problem("says nothing of how new rows are read", key, known))
        elif found := mismatch(value, takes[name]):
            problems.append(Problem(found[0], key, found[1]))
    if problems:
        raise ConfigError(problems)
    own = {  # a dataset of the user's own may call something else so
        name: recorded[name]
        for name, argument in takes.items()
        if recorded.get(name) is not None and not mismatch(recorded[name], argument)
    }
    return kind(**{**defaults, **own, **asked})


def _value(text: str, argument: Argument | None) -> Any:
    """What stands behind `=`, as YAML has it; text as it is where that is meant: `,` and `|` are YAML's own signs."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    quoted = isinstance(value, str) and text[0] in "'\""
    null = value is None and argument is not None and not mismatch(None, argument)
    return value if quoted or null or argument is None or mismatch(text, argument) else text
