"""A search space as a person reads it."""

from __future__ import annotations

from dlcli.console import counted
from dlcli.sweeps.dimension import Choice, Dimension, Numbers, plain_text
from dlcli.sweeps.space import Space

_FEW = 16  # values that are all listed


def size(space: Space) -> str:
    """How many points it has."""
    return "infinitely many points" if space.points is None else counted(space.points, "point")


def values_by_key(space: Space) -> dict[str, str]:
    """What each key can be, and with which others it exists: `16, 32 with model=mlp`."""
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


def _values(domain: Choice | Numbers) -> str:
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
