"""Filters and sort keys of lists of runs: `status=failed and test/accuracy<0.9 and age>7d`.

A filter consists of comparisons joined by `and` and `or` (`and` binds tighter). A comparison is true only for runs that
have the value: a run without `test/accuracy` is neither above nor below 0.9.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from dlcli.config.suggest import did_you_mean
from dlcli.errors import InputError
from dlcli.runs.inventory import ListedRun
from dlcli.tracking.mlflow_tags import NOTE_TAG

_COMPARISON = re.compile(
    r"""\s*(?P<key>[^\s<>=!~'"()]+)\s*(?P<sign><=|>=|!=|==|=|<|>|~)\s*(?P<value>"[^"]*"|'[^']*'|[^\s'"()]+)"""
)
_JOIN = re.compile(r"\s+(?P<word>and|or)(?:\s+|$)", re.IGNORECASE)

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
_NO_UNIT: Mapping[str, float] = {}

_TAG = "tag."


class _Field(NamedTuple):
    """A property of a run other than a metric: a function that reads it, and its units."""

    of: Callable[[ListedRun, datetime], str | float | None]
    units: Mapping[str, float] | None = None  # factor of each unit; None if the value is text


_FIELDS: Mapping[str, _Field] = {
    "name": _Field(lambda run, now: run.name),
    "id": _Field(lambda run, now: run.run_id),
    "kind": _Field(lambda run, now: run.kind),
    "experiment": _Field(lambda run, now: run.experiment),
    "status": _Field(lambda run, now: run.status),
    "error": _Field(lambda run, now: run.error),
    "note": _Field(lambda run, now: run.tags.get(NOTE_TAG)),
    "registered": _Field(lambda run, now: ", ".join(one.words() for one in run.registered) or None),
    "figure": _Field(lambda run, now: run.figure.value if run.figure else None, _NO_UNIT),
    "age": _Field(lambda run, now: age(run, now), _SECONDS),
    "duration": _Field(lambda run, now: run.duration, _SECONDS),
    "size": _Field(lambda run, now: run.size, _BYTES),
}


def age(run: ListedRun, now: datetime) -> float | None:
    """Return the seconds since a run was created; None if its ledger cannot be read."""
    return None if run.created_at is None else (now - run.created_at).total_seconds()


def select(runs: Sequence[ListedRun], text: str, now: datetime) -> list[ListedRun]:
    """Return the runs that match a filter.

    Raises:
        InputError: The filter cannot be read, or compares a value that none of the runs has.
    """
    alternatives = [
        [_comparison(sign, runs, now) for sign in comparisons] for comparisons in _alternatives(text)
    ]
    return [run for run in runs if any(all(holds(run) for holds in each) for each in alternatives)]


def in_order(runs: Sequence[ListedRun], key: str, now: datetime) -> list[ListedRun]:
    """Return the runs sorted by a value in ascending order, or descending for `-KEY`; runs without it come last.

    Raises:
        InputError: None of the runs has the value.
    """
    name = key.removeprefix("-")
    _check_key(name, runs, "--sort")
    values = [(_value(name, run, now), run) for run in runs]
    known = [(value, run) for value, run in values if not _is_missing(value)]
    known.sort(key=lambda pair: _sortable(pair[0]), reverse=key.startswith("-"))
    return [run for _, run in known] + [run for value, run in values if _is_missing(value)]


def _alternatives(text: str) -> list[list[re.Match[str]]]:
    """Return the comparisons of a filter: alternatives, each a list of comparisons that must all hold."""
    found: list[list[re.Match[str]]] = [[]]
    at = 0
    while True:
        comparison = _COMPARISON.match(text, at)
        if comparison is None:
            raise _unreadable(text, at)
        found[-1].append(comparison)
        at = comparison.end()
        if not text[at:].strip():
            return found
        join = _JOIN.match(text, at)
        if join is None:
            raise _unreadable(text, at)
        if join["word"].lower() == "or":
            found.append([])
        at = join.end()


def _unreadable(text: str, at: int) -> InputError:
    what = f"cannot be read from {text[at:].strip()!r} on" if text[at:].strip() else "ends too early"
    return InputError(
        what,
        "--filter",
        "Join comparisons by `and` or `or`, without brackets: 'status=failed and test/accuracy<0.9 and age>7d'. "
        "A value with blanks takes quotes: 'name=\"my run\"'.",
    )


def _comparison(
    found: re.Match[str], runs: Sequence[ListedRun], now: datetime
) -> Callable[[ListedRun], bool]:
    key, sign, wanted = found["key"], found["sign"], found["value"].strip("\"'")
    _check_key(key, runs, "--filter")
    units = _units(key)
    if units is not None:
        number, holds = _number(wanted, units, found[0].strip(), "--filter"), _ORDER.get(sign)
        if holds is None:
            raise InputError(f"{key} is a number: {sign} compares texts", "--filter", f"Try: {key}<{wanted}")

        def of_number(run: ListedRun) -> bool:
            value = _value(key, run, now)
            return isinstance(value, int | float) and not math.isnan(value) and holds(value, number)

        return of_number
    if sign in "<>" or sign in ("<=", ">="):
        raise InputError(f"{key} is a text: {sign} compares numbers", "--filter", f"Try: {key}={wanted}")
    pattern = f"*{wanted}*" if sign == "~" else wanted

    def of_text(run: ListedRun) -> bool:
        value = _value(key, run, now)
        return isinstance(value, str) and fnmatchcase(value.lower(), pattern.lower()) != (sign == "!=")

    return of_text


def _check_key(key: str, runs: Sequence[ListedRun], where: str) -> None:
    """Raise an InputError if a key is neither a field nor a metric or tag of any of the runs."""
    if key in _FIELDS or not runs:
        return
    tag = key.removeprefix(_TAG)
    if any(tag in run.tags if key.startswith(_TAG) else key in run.metrics for run in runs):
        return
    known = [*_FIELDS, *(name for run in runs for name in run.metrics)]
    known += [f"{_TAG}{name}" for run in runs for name in run.tags]
    hint = (
        did_you_mean(key, known) or f"There are {', '.join(_FIELDS)}, tag.KEY and metrics such as test/loss."
    )
    raise InputError(f"none of the runs has {key}", where, hint)


def _units(key: str) -> Mapping[str, float] | None:
    if key in _FIELDS:
        return _FIELDS[key].units
    return None if key.startswith(_TAG) else _NO_UNIT


def _value(key: str, run: ListedRun, now: datetime) -> str | float | None:
    if key in _FIELDS:
        return _FIELDS[key].of(run, now)
    return run.tags.get(key.removeprefix(_TAG)) if key.startswith(_TAG) else run.metrics.get(key)


def seconds(text: str, where: str) -> float:
    """Return the seconds of a duration with a unit: `90s`, `12h`, `30d`.

    Raises:
        InputError: It is not a duration.
    """
    return _number(text, _SECONDS, text, where)


def _number(text: str, units: Mapping[str, float], shown: str, where: str) -> float:
    """Return a number in the base unit of `units`: `7d` in seconds, `1.5GB` in bytes."""
    found = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([a-z]*)", text, re.IGNORECASE)
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in units):
        allowed = f", with a unit: {', '.join(units)}" if units else ""
        hint = "Compare with a number." if where == "--filter" else "Write a number and a unit, such as 30d."
        raise InputError(f"{shown}: {text} is not a number{allowed}", where, hint)
    if units and not unit:
        raise InputError(f"{shown}: {text} has no unit", where, f"Add one of {', '.join(units)}.")
    return float(found[1]) * units.get(unit, 1)


def _is_missing(value: str | float | None) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _sortable(value: str | float | None) -> tuple[float, str]:
    return (0.0, value.lower()) if isinstance(value, str) else (float(value or 0), "")
