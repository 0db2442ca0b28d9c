"""A setting that a sweep varies: a choice among values, or numbers within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlcli.config.pasted import quoted

# The largest number of values of a dimension that is counted (for a grid, and the number of points).
_COUNTABLE = 10**9


@dataclass(frozen=True)
class Choice:
    """A choice among values: numbers, text, true and false, null, lists."""

    values: tuple[Any, ...]

    @property
    def points(self) -> int | None:
        """The number of values."""
        return len(self.values)

    def values_in_order(self) -> tuple[Any, ...]:
        """Return all values."""
        return self.values

    def at(self, share: float) -> Any:
        """Return the value at a share (0 to below 1) of the list."""
        return self.values[int(share * len(self.values))]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included, in steps of `step`, or any number if `step` is None.

    With `log`, they are distributed evenly on a logarithmic scale: as many from 0.001 to 0.01 as from 0.01 to 0.1.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether they are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def points(self) -> int | None:
        """The number of values; None if it is infinite."""
        if self.step is None:
            return None
        return min(_COUNTABLE, round((self.high - self.low) / self.step) + 1)

    def values_in_order(self) -> tuple[float, ...]:
        """Return all numbers from low to high; the two ends if there are infinitely many."""
        if self.step is None:
            return (self.low, self.high)
        return tuple(self._round(self.low + index * self.step) for index in range(self.points or 0))

    def at(self, share: float) -> float:
        """Return the number at a share (0 to below 1) of the range."""
        half = self.step / 2 if self.step is not None else 0.0  # so that each step has the same share
        low, high = self.low - half, self.high + half
        if self.log:
            low, high = max(low, self.low / 2), high
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
        return self._round(min(max(value, self.low), self.high))

    def _round(self, value: float) -> float:
        # Hides rounding errors: 0.1 + 2 * 0.1 is not exactly 0.3.
        return round(value) if self.is_whole else float(f"{value:.12g}")


@dataclass(frozen=True)
class Dimension:
    """A key that is varied.

    Attributes:
        key: a group (`model`) or a key (`optimizer.lr`).
        domain: its values.
        given: conditions: other keys with the values that they must have for this key to exist.
    """

    key: str
    domain: Choice | Range
    given: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The key with its conditions, since two models may both have a dimension `model.hidden`."""
        if not self.given:
            return self.key
        return f"{self.key} ({', '.join(f'{key}={value}' for key, value in self.given)})"

    def exists(self, params: Mapping[str, Any]) -> bool:
        """Return whether the dimension exists at a point with these settings."""
        return all(key in params and plain_text(params[key]) == value for key, value in self.given)


def as_override(key: str, value: Any) -> str:
    """Return `KEY=VALUE` in Hydra's grammar, which is read back as the same value."""
    return f"{key}={_element(value)}"


def plain_text(value: Any) -> str:
    """Return a value as a user would write it."""
    return value if isinstance(value, str) else _element(value)


def _element(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_element, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_element(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        # Plain words are easier to read without quotes.
        return value if _is_word(value) else quoted(value)
    return repr(value)


def _is_word(text: str) -> bool:
    reserved = ("null", "true", "false", "nan", "inf", "infinity")
    plain = text.replace("_", "").replace("-", "").replace("/", "")
    return plain.isalnum() and plain.isascii() and text[0].isalpha() and text.lower() not in reserved
