"""How files of new rows are read: as the run's own were, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from dlcli.config.signature import UNKNOWN, Argument
from dlcli.config.suggest import choices, hint, near, question
from dlcli.config.typecheck import mismatch
from dlcli.errors import ConfigError, Problem

_SECTION = "dataset."

Settings = TypeVar("Settings")


def divide(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files and settings, such as `dataset.separator=;`."""
    settings = [word for word in words if word.startswith(_SECTION) and "=" in word]
    return [Path(word).expanduser() for word in words if word not in settings], settings


def read_settings(
    kind: type[Settings], recorded: Mapping[str, Any], overrides: Sequence[str], **defaults: Any
) -> Settings:
    """Settings of a kind: those that are given, else as the run's own section `dataset` has them.

    Raises:
        ConfigError: one is given that there is not, or that it cannot be.
    """
    from omegaconf import OmegaConf

    # Not the signature's: what a class inherits names types that its own module may not know.
    hints = get_type_hints(kind, include_extras=True)
    takes = {name: Argument(annotation, UNKNOWN, required=False) for name, annotation in hints.items()}
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    asked: dict[str, Any] = given.get("dataset", {})
    problems = []
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
