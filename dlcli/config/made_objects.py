"""Check a value that contains objects (nodes with `_target_`) against a type annotation, before they are built."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.config.signature import UNKNOWN, Argument
from dlcli.config.typecheck import type_name
from dlcli.errors import ConfigError

# Only annotations with classes of these modules are checked; other classes may be matched structurally.
_NOMINAL = ("builtins", "datetime", "collections.abc", "pytorch_lightning")


def has_object(value: Any) -> bool:
    """Return whether a value is or contains a node with `_target_`."""
    if isinstance(value, Mapping):
        return TARGET in value or any(map(has_object, value.values()))
    return isinstance(value, list) and any(map(has_object, value))


def mismatch_of_objects(value: Any, argument: Argument, where: str) -> str | None:
    """Return what is wrong with a value that contains objects, or None if it fits or the type cannot be determined.

    Args:
        value: the value.
        argument: the argument that receives it.
        where: its key.
    """
    annotation = argument.annotation
    if annotation is UNKNOWN or annotation is Any or _may_hold(annotation, value, where):
        return None
    return f"should be {type_name(annotation)}, not {json.dumps(value)[:80]}"


def _may_hold(annotation: Any, value: Any, where: str) -> bool:
    if not has_object(value):
        return True
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _may_hold(parts[0], value, where)
    if origin is typing.Union or origin is types.UnionType:
        return any(_may_hold(part, value, where) for part in parts)
    if origin is Literal:
        return False
    kind = origin or annotation
    if not isinstance(kind, type) or not kind.__module__.startswith(_NOMINAL):
        return True
    is_object = isinstance(value, Mapping) and TARGET in value
    made = _class_of(value, where) if is_object else type(value)
    if made is None or (made is list and kind is tuple) or (made is int and kind is float):
        fits = True
    else:
        try:
            fits = issubclass(made, kind)
        except TypeError:  # a protocol that cannot be checked
            return True
    if is_object or not fits:
        return fits
    of = [part for part in parts if part is not ...]
    items: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
    return not of or all(_may_hold(of[-1], item, where) for item in items)


def _class_of(node: Mapping[str, Any], where: str) -> type | None:
    """Return the class of the object that a node describes; None for the result of a function, which is unknown."""
    if node.get(PARTIAL):
        return partial
    try:
        found = locate(node[TARGET], where)
    except ConfigError:  # validation reports the name
        return None
    return found if isinstance(found, type) else None
