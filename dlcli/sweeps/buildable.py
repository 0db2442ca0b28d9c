"""Leave out the values of a model's own ranges with which the model cannot be built for the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dlcli.checks.compatibility import find_mistakes
from dlcli.datasets.notices import Notice
from dlcli.experiment import Experiment
from dlcli.sweeps.auto_space import defaults_of
from dlcli.sweeps.dimension import Range, as_override
from dlcli.sweeps.head_space import HEAD
from dlcli.sweeps.space_parser import domains_of

# Maximum number of values of a stepped range that are tried one by one.
_LISTED = 20

# The ends of longer ranges are bisected on a grid of so many numbers: 6 builds for each end that does not fit.
_GRID = 64

# Maximum number of different reasons that are told.
_REASONS = 3


@dataclass(frozen=True)
class LeftOut:
    """A model, or values of one of its ranges, that a search leaves out.

    Attributes:
        key: key of the notice, `left_out_models` or `left_out_values`.
        model: option of the group `model`.
        what: the model, or the values as `model.channels=[32,64,128]` or `model.depth above 30`.
        reason: why it does not fit the rows.
        count: number of models or values; 1 for a part of a range of infinitely many numbers.
        unsearched: the key that is not searched because of it, with all its values; empty if some are kept.
    """

    key: str
    model: str
    what: tuple[str, ...]
    reason: str
    count: int = 1
    unsearched: str = ""

    @property
    def text(self) -> str:
        """What is left out, and the reason."""
        whole = f"{self.unsearched} is not searched: " if self.unsearched else ""
        return f"{whole}{', '.join(self.what)} ({self.reason})"

    def notice(self) -> Notice:
        """Return it as a notice of the sweep's result."""
        of = "" if self.key == "left_out_models" else f"{self.model}: "
        return Notice(self.key, self.count, f"left out of the search: {of}{self.text}", "sweep.models")


def buildable_ranges(
    model: str, experiment: Experiment, ranges: Mapping[str, str]
) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the ranges without values that do not fit the rows, and these values.

    Values of lists and of short ranges are tried one by one. Of longer ranges, the ends are tried. An end that does not
    fit is replaced by the last number of a bisection that does, from the other end or the default on; the numbers
    between are taken to fit. A key of which fewer than two values are left is not searched.

    Args:
        model: option of the group `model`.
        experiment: an experiment with the model's defaults, which fit.
        ranges: key to values in Hydra's grammar, of the sections `model` and `optimizer`.
    """
    kept, left = dict(ranges), []
    for key, domain in domains_of(ranges, experiment.folders).items():
        if key.startswith(("optimizer.", HEAD)):
            continue  # positive numbers around the default, and a choice that follows from the defaults
        misfit = partial(_misfit, experiment, key)
        if isinstance(domain, Range) and (domain.points is None or domain.points > _LISTED):
            default = defaults_of(experiment.config, [key]).get(key)
            text, out = _narrowed(key, domain, default, misfit)
        else:
            text, out = _listed(key, domain.values_in_order(), misfit)
        if out is None:
            continue
        left.append(replace(out, model=model))
        if text:
            kept[key] = text
        else:
            del kept[key]
    return kept, left


def _listed(
    key: str, values: Sequence[Any], misfit: Callable[[Any], str | None]
) -> tuple[str, LeftOut | None]:
    """Return the values that fit, in Hydra's grammar, and what is left out; no text if fewer than two fit."""
    reasons = [misfit(value) for value in values]
    fitting = [value for value, reason in zip(values, reasons, strict=True) if reason is None]
    if len(fitting) == len(values):
        return "", None
    wrong = tuple(
        as_override(key, v) for v, reason in zip(values, reasons, strict=True) if reason is not None
    )
    if len(fitting) < 2:
        return "", _left_out(wrong, reasons, len(values), key)
    text = ",".join(as_override(key, value).partition("=")[2] for value in fitting)
    return text, _left_out(wrong, reasons, len(wrong))


def _narrowed(
    key: str, domain: Range, default: Any, misfit: Callable[[Any], str | None]
) -> tuple[str, LeftOut | None]:
    """Return the part of a range that fits, in Hydra's grammar, and what is left out; no text if none is found."""
    reasons = [misfit(domain.low), misfit(domain.high)]
    if reasons == [None, None]:
        return "", None
    ends = zip((domain.low, domain.high), reasons, strict=True)
    whole = _left_out(
        tuple(as_override(key, end) for end, reason in ends if reason is not None),
        reasons,
        domain.points or 1,
        key,
    )
    grid = _grid(domain)
    low = high = next((place for place, value in enumerate(grid) if value == default), None)
    if reasons[0] is None:
        low = 0
        high = len(grid) - 1 if reasons[1] is None else _last(grid, 0, len(grid) - 1, misfit)
    elif reasons[1] is None:
        high = len(grid) - 1
        low = _last(grid, high, 0, misfit)
    elif low is not None and high is not None:
        low, high = _last(grid, low, 0, misfit), _last(grid, high, len(grid) - 1, misfit)
    # A misfit in the middle shows that it is not a matter of the size, such as for multiples of the number of heads.
    if low is None or high is None or low == high or misfit(grid[(low + high) // 2]) is not None:
        return "", whole
    part = replace(domain, low=grid[low], high=grid[high])
    beyond = (
        *([f"{key} below {part.low:g}"] if reasons[0] is not None else []),
        *([f"{key} above {part.high:g}"] if reasons[1] is not None else []),
    )
    return _as_text(part), _left_out(beyond, reasons, (domain.points or 1) - (part.points or 0))


def _grid(domain: Range) -> list[float]:
    """Return the numbers of a range, or `_GRID` and its end, evenly distributed on its scale, if there are more."""
    if domain.points is not None and domain.points <= _GRID:
        return list(domain.values_in_order())
    return list(dict.fromkeys([domain.low, *(domain.at(i / _GRID) for i in range(1, _GRID)), domain.high]))


def _last(grid: Sequence[float], fits: int, fails: int, misfit: Callable[[Any], str | None]) -> int:
    """Return the last place that fits between one that fits and one that does not."""
    while abs(fails - fits) > 1:
        middle = (fits + fails) // 2
        if misfit(grid[middle]) is None:
            fits = middle
        else:
            fails = middle
    return fits


def _as_text(domain: Range) -> str:
    """Return a range in Hydra's grammar."""
    if domain.log or domain.step is None:
        numbers = f"interval({domain.low!r},{domain.high!r})"
        numbers = f"int({numbers})" if domain.step is not None else numbers
        return f"tag(log,{numbers})" if domain.log else numbers
    stop = domain.high + (1 if domain.is_whole else domain.step / 2)  # a range is without its stop
    return f"range({domain.low!r},{stop!r},{domain.step!r})"


def _left_out(
    what: tuple[str, ...], reasons: Sequence[str | None], count: int, unsearched: str = ""
) -> LeftOut:
    different = list(dict.fromkeys(reason for reason in reasons if reason is not None))
    more = [f"{len(different) - _REASONS} more"] if len(different) > _REASONS else []
    return LeftOut("left_out_values", "", what, "; ".join([*different[:_REASONS], *more]), count, unsearched)


def _misfit(experiment: Experiment, key: str, value: Any) -> str | None:
    """Return the first mistake of the experiment with a value; None if it has none."""
    rows = experiment.estimation.for_choosing()
    config = _changed(experiment.config, key.split("."), value)
    problems = find_mistakes(config, rows.data, rows.splits[0])
    return why(problems[0].message) if problems else None


def why(message: str) -> str:
    """Return the reason in a message on a model that cannot be built, without the name of its class."""
    return message.rpartition(" cannot be built from these keys: ")[2].removeprefix("ValueError: ")


def _changed(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**config, name: _changed(config.get(name) or {}, rest, value) if rest else value}
