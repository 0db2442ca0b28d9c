"""Read the signature of a `_target_`, which is the schema of its section."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from typing import Any

# Stands for an annotation that is absent or cannot be resolved; such an argument is not type-checked.
UNKNOWN: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """One argument: its annotation (or UNKNOWN), its default and whether it is required."""

    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Signature:
    """The arguments that can be passed by name; `is_open` if there is a `**kwargs`."""

    arguments: Mapping[str, Argument]
    is_open: bool


def signature(target: Callable[..., Any]) -> Signature:
    """Return the arguments of a class or function; a callable without a readable signature accepts anything.

    Keywords `**options: Annotated[Any, Options]` are the fields of the dataclass `Options`, and no others.
    """
    try:
        source = _annotated(target)
        hash((target, source))
    except (TypeError, ValueError):  # an object that cannot be a key, or that wraps itself
        return _read(target, target)
    return _read_once(target, source)


def _read(target: Callable[..., Any], source: Any) -> Signature:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return Signature({}, is_open=True)
    arguments = {
        name: Argument(
            annotation=_resolve(parameter.annotation, source),
            default=parameter.default,
            required=parameter.default is inspect.Parameter.empty,
        )
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    rest = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    options = rest and _options(_resolve(rest.annotation, source))
    if options:
        arguments.update(signature(options).arguments)
    return Signature(arguments, is_open=rest is not None and not options)


# Resolving annotations takes about a millisecond, and each trial of a sweep reads some twenty signatures. A function
# that takes the place of another one is another key.
_read_once = lru_cache(maxsize=512)(_read)


def _options(annotation: Any) -> type | None:
    """Return the dataclass in the annotation of keywords."""
    found = getattr(annotation, "__metadata__", ())
    return next((kind for kind in found if isinstance(kind, type) and is_dataclass(kind)), None)


def _annotated(target: Callable[..., Any]) -> Any:
    """Return the function whose module resolves the annotations: a class's `__init__`, a wrapper's function."""
    function: Any = target.__init__ if inspect.isclass(target) else target
    return inspect.unwrap(function)


def _resolve(annotation: Any, function: Any) -> Any:
    # Annotations are resolved one by one: a name that exists only under TYPE_CHECKING must not affect the others.
    if annotation is inspect.Parameter.empty:
        return UNKNOWN
    holder = type("Holder", (), {"__annotations__": {"argument": annotation}})
    try:
        scope = dict(getattr(function, "__globals__", {}))
        return typing.get_type_hints(holder, globalns=scope, include_extras=True)["argument"]
    except Exception:  # evaluating an annotation may raise anything
        return UNKNOWN
