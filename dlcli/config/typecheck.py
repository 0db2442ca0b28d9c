"""Check a plain value against a type annotation, with ranges and choices."""

from __future__ import annotations

import collections.abc
import json
import re
import types
import typing
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from dlcli.config.pasted import pasted
from dlcli.config.signature import UNKNOWN, Argument
from dlcli.config.suggest import did_you_mean

# Pydantic's error types for union members that a configuration cannot hold, such as a Tensor.
_NOT_PLAIN = {"is_instance_of", "is_subclass_of", "needs_python_object", "callable_type"}


# Words for a missing value in other languages; null is the one that is accepted.
_NO_VALUE = ("none", "nil", "na", "n/a")

_LEAVE_OUT = "Leave it out for the default."

# Pydantic's message about a text that is too short.
_AT_LEAST = re.compile(r"String should have at least (\d+ characters?)")


def mismatch(value: Any, argument: Argument, where: str = "") -> tuple[str, str] | None:
    """Return what is wrong with the value and a hint, or None if the value fits or the type is unknown.

    `where` is the key, which the hint shows.
    """
    if argument.annotation is UNKNOWN or argument.annotation is Any or _same(value, argument.default):
        return None
    checker = _checker(argument.annotation)
    if checker is None:
        return None

    if value == "None" and type(None) in typing.get_args(argument.annotation):
        return 'is the text "None"', "For no value, write null."
    try:
        # JSON mode has the semantics of a configuration: a list may be a tuple and an int a float, but "3" is not an
        # int.
        checker.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        if isinstance(value, str) and value.lower() in _NO_VALUE:
            return _without_value(value, argument)
        wrong, hint = _explain(value, argument.annotation, error, where)
        return wrong, hint or (_LEAVE_OUT if value is None else "")
    except Exception:
        # If a validator of a third-party type raises another error, the value is not known to be wrong.
        return None
    return None


def _without_value(text: str, argument: Argument) -> tuple[str, str]:
    """Return the problem of a word for a missing value, if the argument is not a text."""
    wrong = f'is the text "{text}"'
    if type(None) in typing.get_args(argument.annotation):
        return wrong, "For no value, write null."
    takes = type_name(argument.annotation)
    return f"{wrong}, but needs {takes or 'a value'}", _LEAVE_OUT


def _same(value: Any, default: Any) -> bool:
    # The default is always accepted, because `x: int = None` is common. Types are compared too, because True == 1.
    return type(value) is type(default) and isinstance(value, str | int | float | None) and value == default


def _checker(annotation: Any) -> Any:
    try:
        return _cached_checker(annotation)
    except TypeError:  # not hashable, for example an Annotated with a list
        return _cached_checker.__wrapped__(annotation)


@lru_cache(maxsize=512)
def _cached_checker(annotation: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:
            pass  # a type that has its own pydantic configuration, or that pydantic cannot handle
        except Exception:
            return None
        try:
            return TypeAdapter(annotation)
        except Exception:
            return None


def _explain(value: Any, annotation: Any, error: Any, where: str) -> tuple[str, str]:
    found = error.errors(include_url=False, include_input=False)
    messages = [e["msg"] for e in found if e["type"] not in _NOT_PLAIN]
    prefix = "Input should be "
    messages = [_AT_LEAST.sub(r"Input should be text of at least \1", text) for text in messages]
    expected = [text.removeprefix(prefix) for text in messages if text.startswith(prefix)]
    expected = [
        text.replace("a valid array", "a list")
        .replace("an object", "a mapping")
        .replace("greater than or equal to", "at least")
        .replace("less than or equal to", "at most")
        .replace("a valid string", "text")
        for text in expected
    ]
    if len(expected) < len(messages) or not expected:
        # Pydantic's messages about lengths and keys do not fit into the sentence below, so the type is shown.
        is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
        expected = [f"like {type_name(annotation) if is_union else _name(annotation)}"]
    choices = [str(choice) for choice in _literals(annotation)]
    shown = "null" if value is None else json.dumps(value)
    # For a mapping or a list, this is the first word that is not among the choices.
    wrong = next((word for word in _words(value) if word not in choices), "") if choices else ""
    hint = did_you_mean(wrong, choices) if wrong else ""
    if expected[:1] == ["text"] and isinstance(value, int | float):
        # Only a whole number is known as the user has typed it; `True` and `true` are the same text to most programs.
        kind = f"is read as {shown}" if isinstance(value, bool) else "looks like a number"
        text = shown if isinstance(value, bool) else str(value)
        typed = f": {pasted(where, text)}" if where and isinstance(value, int) else ""
        hint = f"Quote text that {kind} twice{typed or ', as in ' + pasted('run_name', '1e3')}."
    return f"should be {', or '.join(dict.fromkeys(expected))}, not {shown[:80]}", hint


def _words(value: Any) -> Iterator[str]:
    """Yield the texts in a value; for a mapping, those in its values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, collections.abc.Mapping | list):
        for item in value.values() if isinstance(value, collections.abc.Mapping) else value:
            yield from _words(item)


def _name(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", str(annotation))


def type_name(annotation: Any) -> str:
    """Return a readable annotation: `int >= 1`, `relu or tanh`, `float or null`; empty if the type is unknown."""
    if annotation is UNKNOWN or annotation is Any:
        return ""
    if annotation is type(None):
        return "null"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        bounds = " and ".join(filter(None, map(_bound, parts[1:])))
        return f"{type_name(parts[0])} {bounds}".strip()
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin is typing.Union or origin is types.UnionType:
        return " or ".join(dict.fromkeys(filter(None, map(type_name, parts))))
    if origin in (list, tuple, collections.abc.Sequence):
        of = [type_name(part) for part in parts if part is not ...]
        return f"list of {' and '.join(dict.fromkeys(of))}" if of else "list"
    return "text" if annotation is str else _name(annotation)


def _bound(constraint: Any) -> str:
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if getattr(constraint, name, None) is not None:
            return f"{sign} {getattr(constraint, name)}"
    return ""


def _literals(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    else:
        for part in typing.get_args(annotation):
            yield from _literals(part)
