"""Read the signature of a `_target_`, which is the schema of its section."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
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
    rest = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    options = rest and _options(_resolve(rest.annotation, source))
    if options:
        arguments.update(signature(options).arguments)
    return Signature(arguments, is_open=rest is not None and not options)


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
