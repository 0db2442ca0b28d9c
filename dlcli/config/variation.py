"""Derive configurations that differ from a composed one in plain values only.

A sweep needs a configuration for each trial, and composing one takes ten times as long as replacing values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.build import PARTIAL, TARGET
from dlcli.config.compose import Composed, Draft
from dlcli.config.folders import groups
from dlcli.config.hydra_compose import state_of_files
from dlcli.config.metric_section import GROUP
from dlcli.config.overrides import Setting, parse
from dlcli.config.plain_secrets import masked_values, move_secrets
from dlcli.config.reserved_keys import Supplied
from dlcli.config.resolve import resolve
from dlcli.config.validate import validate

Plain = bool | int | float | str

# Matches `${model.hidden}` and `${.lr}`. Nested interpolations, resolvers and brackets may read any key.
_READ = re.compile(r"\$\{(\.*)([\w\-]+(?:\.[\w\-]+)*)\}")
# Number of cached templates, one for each combination of options.
_MOST = 64


class Variations:
    """Composes configurations; one that differs from an earlier one only in plain values is derived from it.

    A value is replaced only if composing would give the same result: the key exists and holds a plain value in the
    earlier configuration, the command line sets it last, no interpolation reads it, and no option or target depends on
    it. Otherwise, and if there is a mistake, the configuration is composed.

    Args:
        make: Composes overrides with all options decided; raises ConfigError if there is a mistake.
        folders: The user's conf folders; if their files change, templates are composed again.
    """

    def __init__(self, make: Callable[[Sequence[str]], Draft], folders: Sequence[Path]) -> None:
        self._make = make
        self._folders = tuple(folders)
        self._known: dict[Any, _Template | None] = {}

    def composed(self, fixed: Sequence[str], varied: Sequence[str]) -> Composed:
        """Return the configuration of overrides.

        Args:
            fixed: Overrides that come first.
            varied: Overrides whose values may be replaced.

        Raises:
            ConfigError: With all mistakes.
        """
        settings, problems = parse(varied)
        keys = [setting.key for setting in settings]
        if problems or any(_overlaps(key, other) for at, key in enumerate(keys) for other in keys[:at]):
            return self._make([*fixed, *varied]).composed
        known = groups(self._folders)
        plain = {setting.key: setting.value for setting in settings if _is_value(setting, known)}
        shape = tuple(
            setting.key if setting.key in plain else text
            for setting, text in zip(settings, varied, strict=True)
        )
        kind = (tuple(fixed), shape, state_of_files(self._folders))
        template = self._known.get(kind)
        derived = template.with_values(plain, (*fixed, *varied)) if template else None
        if derived is not None:
            return derived
        found = self._make([*fixed, *varied])
        if len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)))
        self._known[kind] = _Template.of(found, plain)
        return found.composed


@dataclass(frozen=True)
class _Template:
    """A composed configuration and the plain values of the command line in it.

    Attributes:
        composed: The configuration.
        values: Its resolved values.
        given: Key to the value that the command line has set.
        replaceable: The keys of `given` whose values can be replaced.
        supplied: The arguments that dlcli passes itself.
    """

    composed: Composed
    values: dict[str, Any]
    given: Mapping[str, Plain]
    replaceable: frozenset[str]
    supplied: Supplied

    @classmethod
    def of(cls, found: Draft, given: Mapping[str, Plain]) -> _Template | None:
        """Return the template of a draft without mistakes; None if no configuration can be derived from it."""
        raw: Any = OmegaConf.to_container(found.merged.config, resolve=False)
        reads = [match for text in _interpolations(raw) for match in _READ.finditer(text)]
        if any("${" in _READ.sub("", text) for text in _interpolations(raw)):
            return None
        replaceable = frozenset(
            key
            for key, value in given.items()
            if _is_same(_at(raw, key), value) and not any(_may_read(match, key) for match in reads)
        )
        if not replaceable:
            return None
        values, problems = resolve(found.merged.config)
        return None if problems else cls(found.composed, values, given, replaceable, found.merged.supplied)

    def with_values(self, given: Mapping[str, Plain], overrides: tuple[str, ...]) -> Composed | None:
        """Return the configuration with other values for the keys; None if it has to be composed."""
        changed = {key: value for key, value in given.items() if not _is_same(self.given[key], value)}
        if not self.replaceable.issuperset(changed):
            return None
        values = self.values
        for key, value in changed.items():
            values = _with(values, key.split("."), value)
        folders = self.composed.composition.folders
        sections = {group.split("/")[0] for group in groups(folders)}
        if any(validate(values, sections, self.supplied)):
            return None
        values = move_secrets(values)
        if masked_values(values):
            return None
        settings = tuple(
            replace(setting, value=changed.get(setting.key, setting.value)) if not setting.source else setting
            for setting in self.composed.settings
        )
        # Without the overrides that were decided by the data, which come last.
        decided = self.composed.overrides[len(overrides) :]
        return replace(self.composed, config=values, overrides=(*overrides, *decided), settings=settings)


def _is_value(setting: Setting, known: Sequence[str]) -> bool:
    """Return whether a setting gives a key a plain value on which no other part of the configuration depends."""
    *sections, last = setting.key.split(".")
    if setting.kind != "set" or setting.key in known or "/" in setting.key or last in (TARGET, PARTIAL):
        return False
    if sections[:1] == [GROUP] or setting.key == "task.metrics":
        return False
    value = setting.value
    if isinstance(value, str):  # a key without a section may be a misspelt group
        return type(value) is str and bool(sections) and "${" not in value and value != "???"
    return type(value) in (bool, int) or (type(value) is float and math.isfinite(value))


def _overlaps(key: str, other: str) -> bool:
    """Return whether two keys are the same, or one is a part of the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _may_read(match: re.Match[str], key: str) -> bool:
    """Return whether an interpolation may read a key, itself or with what contains it."""
    dots, path = match.groups()
    # The position of a relative interpolation is unknown here. If it reads the key, its names are names of the key.
    return path.split(".")[0] in key.split(".") if dots else _overlaps(path, key)


def _interpolations(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _interpolations(value)
            if isinstance(key, str) and "${" in key:
                yield key
    elif isinstance(node, list):
        for value in node:
            yield from _interpolations(value)
    elif isinstance(node, str) and "${" in node:
        yield node


def _at(node: Any, key: str) -> Any:
    """Return the value of a dotted key of mappings; None if there is none."""
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _is_same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other) and str(value) == str(other)


def _with(node: Mapping[str, Any], parts: Sequence[str], value: Plain) -> dict[str, Any]:
    """Return a mapping with the value at a path replaced; the mapping itself is unchanged."""
    name, *rest = parts
    return {**node, name: _with(node[name], rest, value) if rest else value}
