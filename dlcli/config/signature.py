"""What a `_target_` takes: its signature is the schema of its section."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# An annotation that is absent or cannot be resolved: nothing is known, so nothing is checked.
UNKNOWN: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """One argument: its annotation (or UNKNOWN), its default, and whether it must be given."""

    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Signature:
    """The arguments that can be given by name; `is_open` where `**kwargs` takes others too."""

    arguments: Mapping[str, Argument]
    is_open: bool


def signature(target: Callable[..., Any]) -> Signature:
    """Read a class's or function's arguments; what has no readable signature takes anything."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return Signature({}, is_open=True)
    source = _annotated(target)
    arguments = {
        name: Argument(
            annotation=_resolve(parameter.annotation, source),
            default=parameter.default,
            required=parameter.default is inspect.Parameter.empty,
        )
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return Signature(arguments, any(p.kind is p.VAR_KEYWORD for p in parameters.values()))


def _annotated(target: Callable[..., Any]) -> Any:
    """The function whose module resolves the annotations: `__init__` for a class, what a wrapper wraps."""
    function: Any = target.__init__ if inspect.isclass(target) else target
    return inspect.unwrap(function)


def _resolve(annotation: Any, function: Any) -> Any:
    # One at a time: a name that exists only under TYPE_CHECKING must not take the others' types along.
    if annotation is inspect.Parameter.empty:
        return UNKNOWN
    holder = type("Holder", (), {"__annotations__": {"argument": annotation}})
    try:
        scope = dict(getattr(function, "__globals__", {}))
        return typing.get_type_hints(holder, globalns=scope, include_extras=True)["argument"]
    except Exception:  # whatever somebody's annotation raises
        return UNKNOWN
