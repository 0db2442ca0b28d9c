"""The ratios of dlcli to its peers that `bench/budget.toml` allows, and which of them are exceeded."""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

FILE = Path(__file__).with_name("budget.toml")
PAIRS = 3
"""Pairs after which the median decides."""

Figures = dict[str, float]
"""`cpu` and `wall` seconds."""
Pair = tuple[Figures, Figures]
"""Figures of dlcli and of its peer, measured one after the other."""


class Verdict(Enum):
    WITHIN = "within"
    SLOWER = "slower"
    AGAIN = "again"
    FAILED = "failed"


@dataclass(frozen=True)
class Limit:
    """What a row may take: at most `ratio` times its peer's time, plus a tolerance for the noise of the machine."""

    clock: str
    ratio: float
    tolerance: float

    def __post_init__(self) -> None:
        if self.clock not in ("cpu", "wall"):
            raise ValueError(f"clock is cpu or wall, not {self.clock}")
        if not (math.isfinite(self.ratio) and self.ratio > 0 and 0 <= self.tolerance < 1):
            raise ValueError(
                f"ratio is above 0, tolerance from 0 to 1, not {self.ratio} and {self.tolerance}"
            )

    @property
    def highest(self) -> float:
        return self.ratio * (1 + self.tolerance)

    def verdict(self, ratios: Sequence[float]) -> Verdict:
        """Judge the ratios of all pairs so far.

        A first pair below the ratio is enough. Otherwise the median of `PAIRS` pairs may exceed the ratio by the
        tolerance.
        """
        if len(ratios) < PAIRS:
            return Verdict.WITHIN if len(ratios) == 1 and ratios[0] <= self.ratio else Verdict.AGAIN
        return Verdict.WITHIN if statistics.median(ratios) <= self.highest else Verdict.SLOWER

    def told(self, ratios: Sequence[float]) -> str:
        """Return a sentence that compares the ratios with the budget."""
        clock = {"cpu": "CPU time", "wall": "wall time"}[self.clock]
        measured = f"{clock} {statistics.median(ratios):.2f} of the peer's"
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)" if len(ratios) > 1 else ""
        budget = f"budget {self.ratio:g} + {self.tolerance:.0%}"
        return f"{measured}{spread}, {budget}"


def read_budget(text: str) -> dict[str, Limit]:
    """Return the limits by `ROW.PEER`.

    Raises:
        ValueError: a limit lacks a key, has an unknown one, or a value out of range.
    """
    limits = {}
    for row, peers in tomllib.loads(text).items():
        for peer, keys in peers.items():
            try:
                limits[f"{row}.{peer}"] = Limit(**keys)
            except (TypeError, ValueError) as error:
                raise ValueError(f"[{row}.{peer}]: {error}") from None
    return limits


def ratios(pairs: Sequence[Pair], clock: str) -> list[float]:
    """Return dlcli's time in units of its peer's, pair by pair."""
    return [ours[clock] / theirs[clock] for ours, theirs in pairs]
