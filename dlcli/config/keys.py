"""Check that a key exists in the composed configuration or in the signature of one of its targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.config.folders import groups, options
from dlcli.config.foreign_words import FOLDS, KEYS
from dlcli.config.overrides import Setting
from dlcli.config.own_keys import Root, own_type
from dlcli.config.reserved_keys import Supplied, supplied_to
from dlcli.config.signature import Signature, signature
from dlcli.config.suggest import choices, hint, near_keys, question
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError, CorruptRun, Problem

Read = Callable[[Any], Signature | None]


class Keys:
    """The keys of a composed configuration (plain types, interpolations as text) and of its targets' signatures.

    `read` returns the signature of a target.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        sections: Sequence[str],
        supplied: Supplied,
        read: Read | None = None,
    ) -> None:
        self.config = config
        self._read = read or read_signature
        self.supplied = supplied
        self.sections = {section.split("/")[0] for section in sections}

    def check(self, setting: Setting) -> Problem | None:
        """Return what is wrong with the setting's key, or None if it can be set (or deleted)."""
        node: Any = self.config
        owner: str | None = None
        parts = setting.key.split(".")
        for index, part in enumerate(parts):
            if isinstance(node, Mapping):
                owner = node.get(TARGET, owner)
                if part in node:
                    node = node[part]
                    continue
                if setting.kind == "delete":
                    return self._unknown(setting, "there is no such key to delete")
                return self._missing(setting, parts, index, node, owner)
            if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
                continue
            if node is None and setting.kind != "delete":
                return self._missing(setting, parts, index, {}, owner)
            above = ".".join(parts[:index])
            kind = f"a list of {len(node)}" if isinstance(node, list) else "a value"
            return _problem(setting, f"{above} is {kind}: there is no {part} in it")
        if isinstance(node, Mapping) and owner is None and setting.kind != "delete":
            # A section, or a node in a section of nodes. It is not an argument, so it has no type.
            remove = f"Remove it with ~{setting.key}." if len(parts) > 1 else ""
            is_node = isinstance(setting.value, Mapping)
            return None if is_node else _problem(setting, "is a section with keys, not a value", remove)
        return None

    def _missing(
        self, setting: Setting, parts: list[str], index: int, node: Mapping[str, Any], owner: str | None
    ) -> Problem | None:
        name, rest = parts[index], parts[index + 1 :]
        makes_node = name == TARGET or rest[-1:] == [TARGET]
        if index == 0:
            known = name in signature(Root).arguments and not rest
            # The user may set a target for a group that is left out by default.
            known = known or (name in self.sections and makes_node)
            return None if known else self._unknown(setting, "there is no such key")
        if TARGET in node:
            takes = self._read(node[TARGET])
            if takes is None or name in takes.arguments or name in own_keys(".".join(parts[:index])):
                return None
            if name == PARTIAL:
                return None
            if takes.is_open:
                return None if setting.kind == "add" else self._open(setting, node[TARGET])
            return self._unknown(setting, f"{node[TARGET]} has no argument {name}")
        if makes_node:
            return None
        if owner is not None:
            # Inside an argument that is a mapping: validation checks the key against the argument's type later.
            if setting.kind == "add" or not node:
                return None
            return self._unknown(
                setting, "there is no such key", f"To add it to the mapping, write +{setting.key}=..."
            )
        return self._unknown(setting, "there is no such key")

    def _open(self, setting: Setting, target: str) -> Problem:
        return self._unknown(
            setting,
            f"{target} has no argument {setting.key.rpartition('.')[2]}, but accepts arbitrary ones",
            f"To pass it anyway, write +{setting.key}=...",
        )

    def _unknown(self, setting: Setting, message: str, *hints: str) -> Problem:
        known = list(self.known())
        parent, _, last = setting.key.rpartition(".")
        foreign = "cv.folds" if last.lower() in FOLDS else KEYS.get(last.lower(), "")
        is_sibling = foreign in known and foreign.rpartition(".")[0] == parent
        close = [foreign] if is_sibling else near_keys(setting.key, known)
        if not close and foreign in known and ("." in foreign or not parent):
            close = [foreign]
        siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent]
        few = choices(siblings) if parent and not close else ""
        meant = foreign.rpartition(".")[2] if foreign.startswith(f"{parent}.") else last
        having = _options_with(parent, meant) if parent in self.sections and not close else ""
        anything = () if close or few or having or any(hints) else ("dlcli show prints all keys.",)
        return _problem(setting, message, question(close), few, having, *hints, *anything)

    def known(self) -> Iterator[str]:
        """Yield every dotted key that a user may set; keys that dlcli supplies are excluded."""
        yield from signature(Root).arguments
        yield from _walk(self.config, "", self.supplied, self._read)


def _options_with(section: str, key: str) -> str:
    """Return which options of a group, or of a group in its section, have a key; empty if none has."""
    having = [
        f"{group}={name}"
        for group in groups()
        if f"{group}/".startswith(f"{section}/")
        for name, file in options(group).items()
        if key in _top_keys(file)
    ]
    # Short names are those of the simplest options.
    shown = sorted(having, key=lambda name: (len(name), name))[:4]
    return f"Options with {key}: {', '.join(shown)}." if shown else ""


def _top_keys(file: Path) -> Mapping[str, Any]:
    try:
        found = read(file)
    except ConfigError:
        return {}
    return found if isinstance(found, Mapping) else {}


def own_keys(section: str) -> Mapping[str, Any]:
    """Return the keys of a section that dlcli itself uses, as a mapping of name to argument."""
    kind = own_type(section)
    return signature(kind).arguments if kind else {}


# Cached by object instead of by name, because a notebook may reload the target's module.
_read = lru_cache(maxsize=256)(signature)


def read_signature(target: Any) -> Signature | None:
    """Return the target's signature, or None if it cannot be imported or a gate refuses it (validation reports why)."""
    try:
        return _read(locate(target))
    except (ConfigError, CorruptRun):
        return None


def _walk(node: Any, prefix: str, supplied: Supplied, read: Read) -> Iterator[str]:
    if not isinstance(node, Mapping):
        return
    names = {str(name): value for name, value in node.items() if name not in (TARGET, PARTIAL)}
    if TARGET in node:
        takes = read(node[TARGET])
        ours = supplied_to(prefix.removesuffix("."), supplied)
        free = [name for name in takes.arguments if name not in ours] if takes else []
        names = dict.fromkeys(free) | names
    for name, value in names.items():
        yield f"{prefix}{name}"
        yield from _walk(value, f"{prefix}{name}.", supplied, read)


def _problem(setting: Setting, message: str, *hints: str) -> Problem:
    place = f" ({setting.source})" if setting.source else ""
    return Problem(message + place, setting.key, hint(*hints))
