"""Leave out the values of a model's own ranges with which the model cannot be built for the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlcli.checks.compatibility import find_mistakes
from dlcli.datasets.notices import Notice
from dlcli.experiment import Experiment
from dlcli.sweeps.dimension import Choice, Range, as_override
from dlcli.sweeps.space_parser import domains_of

# Maximum number of values of a stepped range that are tried one by one.
_LISTED = 20


@dataclass(frozen=True)
class LeftOut:
    """A model, or values of one of its ranges, that a search leaves out.

    Attributes:
        key: key of the notice, `left_out_models` or `left_out_values`.
        model: option of the group `model`.
        what: the model, or the values as `model.channels=[32,64,128]`.
        reason: why it does not fit the rows.
    """

    key: str
    model: str
    what: tuple[str, ...]
    reason: str

    @property
    def text(self) -> str:
        """What is left out, and the reason."""
        return f"{', '.join(self.what)} ({self.reason})"

    def notice(self) -> Notice:
        """Return it as a notice of the sweep's result."""
        of = "" if self.key == "left_out_models" else f"{self.model}: "
        return Notice(self.key, len(self.what), f"left out of the search: {of}{self.text}", "sweep.models")


def buildable_ranges(
    model: str, experiment: Experiment, ranges: Mapping[str, str]
) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the ranges without values that do not fit the rows, and these values.

    A range of more than a few numbers is left out as a whole if one of its ends does not fit.

    Args:
        model: option of the group `model`.
        experiment: an experiment with the model's defaults, which fit.
        ranges: key to values in Hydra's grammar, of the sections `model` and `optimizer`.
    """
    kept, left = dict(ranges), []
    for key, domain in domains_of(ranges, experiment.folders).items():
        if key.startswith("optimizer."):
            continue  # positive numbers around the default
        values = domain.values_in_order()
        if isinstance(domain, Range) and (domain.step is None or len(values) > _LISTED):
            values = (values[0], values[-1])
        reasons = dict(_misfits(experiment, key, values))
        if not reasons:
            continue
        wrong = tuple(as_override(key, values[place]) for place in reasons)
        left.append(LeftOut("left_out_values", model, wrong, next(iter(reasons.values()))))
        fitting = [value for place, value in enumerate(values) if place not in reasons]
        is_listed = isinstance(domain, Choice) or len(values) == domain.points
        if is_listed and len(fitting) > 1:
            kept[key] = ",".join(as_override(key, value).partition("=")[2] for value in fitting)
        else:
            del kept[key]
    return kept, left


def _misfits(experiment: Experiment, key: str, values: tuple[Any, ...]) -> Iterator[tuple[int, str]]:
    """Yield the positions of values with which the experiment has mistakes, with the first mistake."""
    rows = experiment.estimation.for_choosing()
    for place, value in enumerate(values):
        config = _changed(experiment.config, key.split("."), value)
        if problems := find_mistakes(config, rows.data, rows.splits[0]):
            yield place, why(problems[0].message)


def why(message: str) -> str:
    """Return the reason in a message on a model that cannot be built, without the name of its class."""
    return message.rpartition(" cannot be built from these keys: ")[2].removeprefix("ValueError: ")


def _changed(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**config, name: _changed(config.get(name) or {}, rest, value) if rest else value}
