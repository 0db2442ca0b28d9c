"""Read a YAML file as Hydra does, and find the line of each key."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dlcli.errors import ConfigError, Problem
from dlcli.files.file_state import file_state
from dlcli.files.paths import display

# Maximum number of values in a file with its aliases expanded. Only nested aliases exceed it, and would take minutes.
_MOST_VALUES = 100_000

# The C loader is seven times faster, which matters for completion; not every build of PyYAML has it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """PyYAML's safe loader with OmegaConf's two changes: 1e-3 is a number, and dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read(path: Path) -> dict[str, Any]:
    """Return the file's content.

    Raises:
        ConfigError: The file cannot be read (the error gives the line) or does not hold a mapping.
    """
    return deepcopy(_read(path, file_state(path)))


@lru_cache(maxsize=256)
def _read(path: Path, state: tuple[int, ...] | None) -> dict[str, Any]:
    """Return the file's content, as `read`; `state` changes with the file."""
    content = _load(path, lambda loader, root: loader.construct_document(root))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("must contain keys with values (KEY: VALUE)", where=display(path))
    return content


def lines(path: Path) -> dict[str, int]:
    """Return the line of each dotted key of the file, including nested keys."""
    found: dict[str, int] = {}

    def walk(node: yaml.Node, prefix: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{prefix}{key.value}"
                found[name] = key.start_mark.line + 1
                walk(value, f"{name}.")
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                name = f"{prefix}{index}"
                found[name] = value.start_mark.line + 1
                walk(value, f"{name}.")

    root = _load(path, lambda loader, root: root)
    if root is not None:
        walk(root, "")
    return found


def _load(path: Path, take: Callable[[Any, yaml.Node], Any]) -> Any:
    """Return the result of `take` for the loader and the file's root node; None for an empty file."""
    where = display(path)
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            if _size(root, {}) > _MOST_VALUES:
                raise ConfigError(
                    "has aliases that expand to too many values", where, "Write the values without aliases."
                )
            return take(loader, root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([yaml_problem(error, where)]) from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where) from error


def yaml_problem(error: yaml.MarkedYAMLError, where: str) -> Problem:
    """Return the problem of a file that is not YAML, with its line."""
    line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
    hint = "Indent with blanks, not with tabs." if "\\t" in str(error.problem) else ""
    return Problem(f"is not valid YAML: {error.problem}", f"{where}{line}", hint)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values of a node, with aliases expanded."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES  # an alias that contains itself is infinite
        below = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        inner = 0 if isinstance(node, yaml.ScalarNode) else sum(_size(part, known) for part in below)
        known[id(node)] = 1 + inner
    return known[id(node)]
