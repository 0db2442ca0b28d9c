"""Reading of a run's documents with limits on size and depth, so that a hostile folder cannot exhaust time or memory.

YAML is read by the safe loader and without aliases, since a few lines with aliases can expand beyond the memory.
"""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dlcli.errors import CorruptRun
from dlcli.files.regular import os_reason, read_regular

# Maximum sizes, far larger than real files: a configuration has a few hundred lines, a sweep's ledger a few MiB.
YAML_BYTES, JSON_BYTES = 2 << 20, 256 << 20
_NODES = 200_000
DEPTH = 64

# Digits of a number in YAML. Numbers to the base of 60 (1:30:00) would otherwise take minutes.
_DIGITS = 1000
_NUMBER = re.compile(r"[-+]?\d[\d_:.]*")

# A version of marshal in which equal values have equal bytes; later ones depend on the number of their references.
_WITHOUT_REFERENCES = 2

_COPY = "Copy the folder again."

# The C parser is seven times faster, but not every build of PyYAML has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Writes repeated objects in full, since the files are read without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# The C emitter is six times faster. It breaks escaped texts elsewhere, and writes empty keys in another form.
_Fast: Any = type(
    "_Fast", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {"ignore_aliases": _Dumper.ignore_aliases}
)


def read_text(file: Path, at_most: int = YAML_BYTES, what: str = "the file") -> str:
    """Return the content of a text file.

    Args:
        file: path of the file.
        at_most: maximum size in bytes.
        what: name of the file in messages.

    Raises:
        CorruptRun: The file is missing, not a regular file, not UTF-8, or larger than `at_most`.
    """
    try:
        return read_regular(file, at_most).decode("utf-8")
    except OSError as error:
        raise CorruptRun(f"{what} {os_reason(error)}", str(file), _COPY) from error
    except ValueError as error:
        raise CorruptRun(f"{what} cannot be read: {error}", str(file), _COPY) from error


def read_yaml(file: Path, what: str = "the file") -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        CorruptRun: The file cannot be read, is not a mapping, has an alias, or is too large or too deeply nested.
    """
    text = read_text(file, YAML_BYTES, what)
    content = _mapping(lambda: parse_yaml(text), file, what)
    if place := _not_plain(content):
        raise CorruptRun(f"{what} has something else than text and numbers at {place}", str(file), _COPY)
    return content


def read_json(file: Path, what: str = "the file") -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        CorruptRun: The file cannot be read, is not an object, or is too large or too deeply nested.
    """
    text = read_text(file, JSON_BYTES, what)
    return _mapping(lambda: json.loads(text), file, what)


def parse_yaml(text: str) -> Any:
    """Return the plain value of a YAML text.

    Raises:
        ValueError: The text is not valid YAML, has an alias or a Python tag, or is too deeply nested or too long.
    """
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            nodes += 1
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"line {_line(event)} has an alias (*{event.anchor})")
            if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
                raise ValueError(f"line {_line(event)} has a number of more than {_DIGITS:,} digits")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH:
                raise ValueError(f"line {_line(event)} nests deeper than {DEPTH} levels")
            if nodes > _NODES:
                raise ValueError(f"it has more than {_NODES:,} entries")
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, TypeError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def yaml_text(content: Any) -> str:
    """Return a plain value as YAML without aliases, with keys in their original order."""
    if not isinstance(content, dict) or not content:
        return _dumped(content)
    # The entries of a document are written one after the other, and configurations of a sweep share most of theirs.
    return "".join(_entry(key, value) for key, value in content.items())


def _entry(key: Any, value: Any) -> str:
    if not _is_plain({key: value}):  # marshal writes the bytes of arrays, and YAML refuses them
        return _dumped({key: value})
    return _entry_once(marshal.dumps((key, value), _WITHOUT_REFERENCES))


@lru_cache(maxsize=256)
def _entry_once(marshalled: bytes) -> str:
    key, value = marshal.loads(marshalled)
    return _dumped({key: value})


def _dumped(content: Any) -> str:
    dumper = _Fast if _is_printable(content) else _Dumper
    return yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True)


def _is_plain(content: Any) -> bool:
    if type(content) is dict:
        return all(_is_plain(key) and _is_plain(value) for key, value in content.items())
    if type(content) in (list, tuple):
        return all(map(_is_plain, content))
    return type(content) in (str, int, float, bool, type(None))


def _is_printable(content: Any) -> bool:
    """Return whether all texts in a plain value are printable ASCII, and no key is empty."""
    if isinstance(content, dict):
        return all(
            key != "" and _is_printable(key) and _is_printable(value) for key, value in content.items()
        )
    if isinstance(content, list | tuple):
        return all(map(_is_printable, content))
    return not isinstance(content, str) or (content.isascii() and content.isprintable())


def _mapping(read: Callable[[], Any], file: Path, what: str) -> dict[str, Any]:
    try:
        content = read()
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it nests too deeply" if isinstance(error, RecursionError) else str(error)
        raise CorruptRun(f"{what} cannot be read: {reason}", str(file), _COPY) from error
    if not isinstance(content, dict):
        raise CorruptRun(f"{what} is not a mapping", str(file), _COPY)
    if _depth(content) > DEPTH:
        raise CorruptRun(f"{what} nests deeper than {DEPTH} levels", str(file), _COPY)
    return content


def _not_plain(content: dict[str, Any]) -> str | None:
    """Return the place of a key or value of another type than JSON has, such as a date, or None.

    Keys below an argument may be numbers, such as the columns of a table; sections and arguments have names.
    """
    pending: list[tuple[str, int, Any]] = [("", 0, content)]
    while pending:
        where, depth, node = pending.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            place = f"{where}.{key}".lstrip(".")
            if not isinstance(key, str if depth < 2 and isinstance(node, dict) else str | int | float):
                return place
            if isinstance(value, dict | list):
                pending.append((place, depth + 1, value))
            elif value is not None and not isinstance(value, str | int | float):
                return place
    return None


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    return event.implicit[0] and len(event.value) > _DIGITS and _NUMBER.fullmatch(event.value) is not None


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _depth(content: Any) -> int:
    """Return how deeply mappings and lists are nested, computed without recursion."""
    level, deep = [content], 0
    while level and deep <= DEPTH:
        inner = [node.values() if isinstance(node, dict) else node for node in level]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
        deep += 1
    return deep
