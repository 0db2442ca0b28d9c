"""The search space, in Hydra's grammar on the command line or in the section `sweep.space`.

sweep:
  space:
    model: mlp,lstm
    optimizer.lr: tag(log, interval(1e-4, 1e-1))
    model=lstm:                   # keys that exist only where model is lstm
      model.layers: range(1,4)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep

from dlcli.config.overrides import unreadable
from dlcli.config.suggest import did_you_mean
from dlcli.errors import ConfigError, Problem
from dlcli.formatting import counted
from dlcli.sanitize.redact import is_secret
from dlcli.sweeps.dimension import Choice, Dimension, Range, plain_text

_HOW = "Write several values (a,b or choice(1,2)), range(1,5), interval(0,1) or tag(log,interval(1e-4,1e-1))."


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        dimensions: the dimensions; each comes after those that it depends on.
        starts: points that are tried first.
        apart: keys in which these points differ from the defaults, because the user's values exclude the default.
        quick: options of `model` that take no gradient steps.
    """

    dimensions: tuple[Dimension, ...]
    starts: tuple[dict[str, Any], ...] = ()
    apart: tuple[str, ...] = ()
    quick: frozenset[str] = frozenset()

    def walk(self, choose: Callable[[Dimension], Any]) -> dict[str, Any]:
        """Return a point as key to value; `choose` returns the value of each dimension that exists at the point."""
        params: dict[str, Any] = {}
        for dimension in self.dimensions:
            if dimension.exists(params):
                params[dimension.key] = choose(dimension)
        return params

    @property
    def first(self) -> dict[str, Any]:
        """The point that is tried first, by default that with the first value of each dimension."""
        if self.starts:
            return self.starts[0]
        return self.walk(lambda dimension: dimension.domain.values_in_order()[0])

    def domains_at(self, params: Mapping[str, Any]) -> dict[str, Choice | Range]:
        """Return key to its values, for the keys that exist at a point."""
        return {d.key: d.domain for d in self.dimensions if d.exists(params)}

    @property
    def endless(self) -> Dimension | None:
        """The first dimension with infinitely many values, or None."""
        return next((d for d in self.dimensions if d.domain.points is None), None)

    @property
    def points(self) -> int | None:
        """The number of points; None if it is infinite."""
        return self._count(0, {})

    def _count(self, start: int, params: dict[str, Any]) -> int | None:
        total = 1
        for index in range(start, len(self.dimensions)):
            dimension = self.dimensions[index]
            if not dimension.exists(params):
                continue
            if dimension.domain.points is None:
                return None
            if not any(dimension.key == key for later in self.dimensions for key, _ in later.given):
                total *= dimension.domain.points
                continue
            below = [
                self._count(index + 1, {**params, dimension.key: value})
                for value in dimension.domain.values_in_order()
            ]
            return None if None in below else total * sum(count or 0 for count in below)
        return total

    @cached_property
    def all_points(self) -> tuple[dict[str, Any], ...]:
        """All points of a finite space, the last dimension changing fastest."""
        return tuple(self._grid(0, {}))

    def _grid(self, start: int, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for index in range(start, len(self.dimensions)):
            dimension = self.dimensions[index]
            if dimension.exists(params):
                for value in dimension.domain.values_in_order():
                    yield from self._grid(index + 1, {**params, dimension.key: value})
                return
        yield params

    def neighbours(self) -> Iterator[tuple[Dimension, dict[str, Any]]]:
        """Yield the first point with one key changed at a time, to each choice or to both ends of a range.

        Keys that exist only for another choice have their first value. Every value occurs in one of these points, so
        that each can be checked.
        """
        for dimension in self.dimensions:
            values = dimension.domain.values_in_order()
            ends = values if isinstance(dimension.domain, Choice) else (values[0], values[-1])
            for value in ends:
                where = self._where(dimension)
                yield dimension, self.walk(_choosing({**where, dimension.key: value}, dimension))

    def _where(self, dimension: Dimension) -> dict[str, Any]:
        """Return settings for which a dimension exists: its conditions, and recursively their conditions."""
        found: dict[str, Any] = {}
        for key, text in dimension.given:
            parent, value = next(
                (parent, value)
                for parent in self.dimensions
                if parent.key == key and isinstance(parent.domain, Choice)
                for value in parent.domain.values
                if plain_text(value) == text
            )
            found |= {**self._where(parent), key: value}
        return found


def _choosing(values: Mapping[str, Any], changed: Dimension) -> Callable[[Dimension], Any]:
    def choose(dimension: Dimension) -> Any:
        if dimension == changed or (dimension.key in values and dimension.key != changed.key):
            return values[dimension.key]
        return dimension.domain.values_in_order()[0]

    return choose


def read_space(
    section: Mapping[str, Any], options: Callable[[str], Sequence[str]], where: str = "sweep.space"
) -> Space:
    """Read a search space from the section `where`; `options` returns a group's options, for `model=glob(*)`.

    Raises:
        ConfigError: with every dimension that cannot be read.
    """
    found, problems = read_dimensions(section, options, where)
    if problems:
        raise ConfigError(problems)
    return arranged(found, where)


def read_dimensions(
    section: Mapping[str, Any], options: Callable[[str], Sequence[str]], where: str = "sweep.space"
) -> tuple[list[Dimension], list[Problem]]:
    """Return the valid dimensions of the section `where`, and the mistakes of the others."""
    problems: list[Problem] = []
    found = list(_read(section, (), options, problems, where))
    placed = []
    for dimension in found:
        if misplaced := list(_misplaced(dimension, found, where)):
            problems += misplaced
        else:
            placed.append(dimension)
    return placed, list(dict.fromkeys(problems))


def arranged(dimensions: Sequence[Dimension], where: str = "sweep.space") -> Space:
    """Return the space of these dimensions.

    Raises:
        ConfigError: their conditions form a cycle.
    """
    return Space(tuple(_in_order(dimensions, where)))


def _in_order(found: Sequence[Dimension], where: str) -> Iterator[Dimension]:
    """Yield the dimensions in a stable topological order: each after those that it depends on."""
    rest = list(found)
    while rest:
        open_keys = {dimension.key for dimension in rest}
        ready = [d for d in rest if not any(key in open_keys for key, _ in d.given)]
        if not ready:
            names = ", ".join(dimension.name for dimension in rest)
            raise ConfigError("depend on each other in a circle", where, f"Look at: {names}.")
        yield from ready
        rest = [dimension for dimension in rest if dimension not in ready]


def _read(
    section: Mapping[str, Any],
    given: tuple[tuple[str, str], ...],
    options: Callable[[str], Sequence[str]],
    problems: list[Problem],
    where: str,
) -> Iterator[Dimension]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            above, equals, text = str(key).partition("=")
            if not equals:
                advice = "A condition is KEY=VALUE with its own keys below it; a dimension is KEY: VALUES."
                problems.append(Problem("is neither a dimension nor a condition", f"{where}.{key}", advice))
                continue
            yield from _read(value, (*given, (above, text)), options, problems, where)
            continue
        try:
            if isinstance(value, list):
                domain: Choice | Range = _choice(f"{where}.{key}", value)
            else:
                domain = read_domain(str(key), str(value), options)
            yield Dimension(str(key), domain, given)
        except ConfigError as error:
            problems.extend(error.problems)


def read_domain(key: str, text: str, options: Callable[[str], Sequence[str]]) -> Choice | Range:
    """Return the values that `KEY=TEXT` describes in Hydra's grammar."""
    override = f"{key}={text}"
    if is_secret(key):
        hint = f"Give it a single value from an environment variable: '{key}=${{oc.env:NAME}}'."
        raise ConfigError("is a secret, but every value of a search is recorded", key, hint)
    try:
        parsed = OverridesParser.create().parse_override(override)
    except Exception as error:  # the grammar raises several types
        raise ConfigError(unreadable(override, error)) from error
    value: Any = parsed.value() if parsed.is_sweep_override() else None
    if isinstance(value, Glob):
        return _choice(override, value.filter(list(options(key))))
    if isinstance(value, ChoiceSweep):
        return _choice(override, [_plain(item) for item in value.list])
    if isinstance(value, RangeSweep):
        return _range(override, value)
    if isinstance(value, IntervalSweep):
        return _interval(override, value)
    raise ConfigError("is a single value, not a search space", override, _HOW)


def _choice(override: str, values: Sequence[Any]) -> Choice:
    different = list({plain_text(value): value for value in values}.values())
    if not different:
        raise ConfigError("contains no value", override, _HOW)
    return Choice(tuple(different))


def _range(override: str, parsed: Any) -> Range:
    start, stop, step = parsed.start, parsed.stop, parsed.step
    if start is None or stop is None or step <= 0:
        raise ConfigError("is not an ascending range", override, "Write range(START,STOP) or range(0,10,2).")
    count = math.ceil((stop - start) / step - 1e-9)  # the stop is excluded, as in Python
    if count < 1:
        raise ConfigError("contains no value", override, "The end of a range is not in it: range(1,5).")
    last = start + (count - 1) * step
    if "log" in parsed.tags:
        raise ConfigError("a range has equal steps", override, "Write tag(log,int(interval(1,100))).")
    return Range(start, last if isinstance(last, int) else float(f"{last:.12g}"), step)


def _interval(override: str, parsed: Any) -> Range:
    low, high, log = parsed.start, parsed.end, "log" in parsed.tags
    if unknown := parsed.tags - {"log"}:
        raise ConfigError(f"has no tag {', '.join(sorted(unknown))}", override, "The tag is log.")
    if not low < high:
        raise ConfigError("should have a lower and an upper bound", override, "Write interval(LOW,HIGH).")
    if log and low <= 0:
        raise ConfigError(
            "a logarithmic interval must begin above 0", override, "Write tag(log,interval(1e-4,1))."
        )
    return Range(low, high, 1 if isinstance(low, int) else None, log)


def _misplaced(dimension: Dimension, all_of_them: Sequence[Dimension], where: str) -> Iterator[Problem]:
    """Yield the problems of a dimension: conditions that can never hold, and keys with two sets of values."""
    for key, text in dimension.given:
        parents = [d for d in all_of_them if d.key == key and isinstance(d.domain, Choice)]
        values = {plain_text(v) for d in parents if isinstance(d.domain, Choice) for v in d.domain.values}
        if text not in values:
            listed = f"{key} can be: {', '.join(sorted(values))}." if values else f"Make {key} a choice."
            advice = did_you_mean(text, values) or listed
            yield Problem(f"{key} is never {text}", f"{where}.{key}={text}", advice)
    twins = [d for d in all_of_them if d.key == dimension.key and d != dimension]
    if any(_can_both_exist(dimension, twin) for twin in twins):
        advice = "Keep one of them, or give them conditions that exclude each other."
        yield Problem("is varied twice", f"{where}.{dimension.key}", advice)


def _can_both_exist(one: Dimension, other: Dimension) -> bool:
    theirs = dict(other.given)
    return not any(key in theirs and theirs[key] != value for key, value in one.given)


def _plain(value: Any) -> Any:
    """Return a value with the grammar's quoted strings as plain text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value.text if hasattr(value, "with_quotes") else value


_FEW = 16  # maximum number of values that are listed


def size(space: Space) -> str:
    """Return the number of points as text."""
    return "infinitely many points" if space.points is None else counted(space.points, "point")


def values_by_key(space: Space) -> dict[str, str]:
    """Return key to its values as text, with its conditions: `16, 32 with model=mlp`."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for dimension in space.dimensions:
        known = found.setdefault(dimension.key, [])
        text, condition = _values(dimension.domain), _condition(dimension)
        same = next((conditions for values, conditions in known if values == text), None)
        if same is None:
            known.append((text, [condition]))
        else:
            same.append(condition)
    return {
        key: "; ".join(
            f"{text} with {' or '.join(conditions)}" if all(conditions) else text
            for text, conditions in values
        )
        for key, values in found.items()
    }


def _values(domain: Choice | Range) -> str:
    if isinstance(domain, Choice):
        texts = [plain_text(value) for value in domain.values]
        more = f", ... ({len(texts):,} in all)" if len(texts) > _FEW else ""
        return ", ".join(texts[:_FEW]) + more
    steps = "" if domain.step is None or domain.step == 1 else f" in steps of {domain.step:g}"
    whole = ", whole numbers" if domain.is_whole and domain.step == 1 else ""
    return f"{_end(domain.low)} to {_end(domain.high)}{steps}{whole}{', logarithmic' if domain.log else ''}"


def _end(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.12g}"


def _condition(dimension: Dimension) -> str:
    return " and ".join(f"{key}={value}" for key, value in dimension.given)
