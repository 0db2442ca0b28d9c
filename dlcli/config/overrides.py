"""Parse overrides in Hydra's grammar into plain settings, and report all that cannot be parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dlcli.config.pasted import as_text
from dlcli.errors import Problem, first_line
from dlcli.formatting import shell_line

# A number for a key with a section, as Hydra's grammar reads it.
_NUMBER = re.compile(
    r"(?P<key>(?!hydra\.)[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)+)="
    r"(?P<value>-?(?:0|[1-9][0-9]{0,17})(?P<fraction>\.[0-9]+(?:e-?[0-9]{1,3})?|e-?[0-9]{1,3})?)"
)

# Keys that hold a search space.
_SPACES = ("sweep.space", "cv.space")
_QUOTED = "Quote ranges and intervals in it: {model.hidden:[16,32],optimizer.lr:'interval(0,1)'}."
_CONDITIONS = (
    "Conditions (model=mlp: with keys below it) belong in an experiment's file. dlcli sweep needs none for keys that"
    " only some models have: model=mlp,linear model.hidden=16,32."
)


@dataclass(frozen=True)
class Setting:
    """One setting of the user: a group's option (`model`, `sweep/sampler`) or a key (`optimizer.lr`).

    `source` is `FILE:LINE` for a setting of a dlcli.yaml and empty for one of the command line.
    """

    key: str
    value: Any
    kind: Literal["set", "add", "delete"] = "set"
    source: str = ""


def named_by(word: str) -> str:
    """Return the group or key that an override names, without parsing its value."""
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def parse(overrides: Sequence[str]) -> tuple[list[Setting], list[Problem]]:
    """Parse each override separately. Return the settings and the problems."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    settings: list[Setting] = []
    problems: list[Problem] = []
    for text in overrides:
        if number := _NUMBER.fullmatch(text):  # most settings of a trial; Hydra's parser takes milliseconds
            value = float(number["value"]) if number["fraction"] else int(number["value"])
            settings.append(Setting(number["key"], value))
            continue
        try:
            parsed = parser.parse_override(text)
            problem = _refused(text, parsed)
        except Exception as error:  # Hydra's parser raises several unrelated types
            problem = unreadable(text, error)
        if problem:
            problems.append(problem)
            continue
        kind: Literal["set", "add", "delete"] = "set"
        if parsed.is_delete():
            kind = "delete"
        elif parsed.is_add() or parsed.is_force_add():
            kind = "add"
        settings.append(Setting(parsed.key_or_group, parsed.value(), kind))
    return settings, problems


def leaves(setting: Setting) -> Iterator[Setting]:
    """Split `optimizer={lr: 1, betas: [0, 1]}` into one setting per key, so that each can be checked."""
    value = setting.value
    # A mapping with a dot in one of its keys is a value, because such a key is not a path.
    if isinstance(value, dict) and value and all(isinstance(k, str) and "." not in k for k in value):
        for key, item in value.items():
            yield from leaves(replace(setting, key=f"{setting.key}.{key}", value=item))
    else:
        yield setting


def _refused(text: str, parsed: Any) -> Problem | None:
    """Return the problem of an override that Hydra's grammar allows and dlcli does not, or None."""
    key = parsed.key_or_group
    if not key:
        return Problem("has no key", text, "Write KEY=VALUE, such as optimizer.lr=0.01.")
    if parsed.package is not None:
        value = text.partition("=")[2]
        line = f"task.metrics=[default,{value}]" if key.split("/")[0] == "metric" else f"{key}={value}"
        return Problem("a package for a group (@) is not allowed here", text, f"Write {shell_line(line)}")
    if key.replace("/", ".").split(".")[0] == "hydra":
        return Problem(
            "Hydra's own settings cannot be changed: dlcli controls the run's folder and its logging",
            text,
            "To change where results are written, use runs_dir.",
        )
    if key in _SPACES and isinstance(value := parsed.value(), dict) and any(map(_is_sweep, value.values())):
        return Problem("contains a function that is not quoted", text, _QUOTED)
    if _has_null_key(parsed._value):
        return Problem("a key of a mapping is null", text, "Name each key: {name: value}.")
    if parsed.is_sweep_override():
        return Problem(
            "has several values",
            text,
            f"For text, quote it twice: {_twice_quoted(text)}; for a list write '{key}=[...]'; for several trials, use"
            " dlcli sweep.",
        )
    return None


def _has_null_key(value: Any) -> bool:
    if isinstance(value, dict):
        return None in value or any(map(_has_null_key, value.values()))
    return isinstance(value, list) and any(map(_has_null_key, value))


def _is_sweep(value: Any) -> bool:
    from hydra.core.override_parser.types import Sweep

    return isinstance(value, Sweep)


def unreadable(text: str, error: Exception) -> Problem:
    """Return what is wrong with an override that Hydra's grammar rejected."""
    if "=" not in text and not text.startswith("~"):
        as_key = f"{text}=VALUE" if re.fullmatch(r"[A-Za-z_][\w./]*", text) else "KEY=VALUE"
        return Problem("has no value", text or "''", f"Write {as_key}, such as optimizer.lr=0.01.")
    if text != text.strip() or " =" in text or "= " in text.partition("=")[0] + "=":
        key, _, value = text.partition("=")
        line = shell_line(f"{key.strip()}={value.strip()}")
        return Problem("has a space in the wrong place", text, f"Write it without the space: {line}")
    if open_one := _left_open(text):
        return Problem(
            f"{open_one} is not closed",
            text,
            "Close it, and quote an override with spaces, so that the shell passes it as one argument."
            + (f" If it is part of the value: {_twice_quoted(text)}" if _is_within(open_one, text) else ""),
        )
    key, _, value = text.partition("=")
    if key in _SPACES:
        return Problem(f"cannot be read: {first_line(error)}", text, _CONDITIONS if "=" in value else _QUOTED)
    if value.startswith("choice(") and "null" in re.split(r"[(),\s]+", value.lower()):
        hint = f"Write the values without choice(): {key}={value[len('choice(') :].rstrip(')')}"
        return Problem("choice() does not accept null", text, hint)
    return Problem(
        f"cannot be read: {first_line(error)}",
        text,
        f"Quote a value with special characters twice: {_twice_quoted(text)}.",
    )


def _is_within(quote: str, text: str) -> bool:
    """Return whether a quote may be part of the value, such as an apostrophe in a path."""
    return quote in "'\"" and not text.partition("=")[2].startswith(quote)


def _twice_quoted(text: str) -> str:
    """Return an override quoted twice: its value for Hydra's grammar, and all of it for the shell."""
    key, _, value = text.partition("=")
    return shell_line(f"{key}={as_text(value)}")


def _left_open(text: str) -> str:
    """Return the bracket or quote that is still open at the end of the text; empty if there is none."""
    closing = {"[": "]", "{": "}", "(": ")"}
    open_ones: list[str] = []
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in closing:
            open_ones.append(character)
        elif open_ones and character == closing[open_ones[-1]]:
            open_ones.pop()
    return quote or (open_ones[-1] if open_ones else "")
