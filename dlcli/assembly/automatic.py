"""Resolve the values `auto` of a new experiment, once for all of its training runs.

Folds differ in their number of training rows, and a refit has more of them. If each of them decided for itself, the
refit could be of a model, or with a batch size, that no validation row has judged. The smallest fold decides, and the
values stand in the configuration that all runs record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from dlcli.assembly.batch_rows import automatic_rows, takes_all_rows
from dlcli.assembly.number_facts import number_facts
from dlcli.assembly.parts import preprocessing_of
from dlcli.config.build import TARGET, locate
from dlcli.config.signature import signature
from dlcli.datasets.data import Data, take
from dlcli.errors import ConfigError
from dlcli.splits.split import Split
from dlcli.tracking.tags import AUTO_TAG
from dlcli.training.fields import as_fields
from dlcli.training.penalty_path import PenaltyPath, first_penalty

AUTO = "auto"

# Training rows that are preprocessed to count the columns of numbers.
_ROWS = 1024


@runtime_checkable
class HasAutomatic(Protocol):
    """A model some of whose arguments may be `auto`."""

    @staticmethod
    def automatic(training_rows: int, columns: int) -> dict[str, tuple[Any, str]]:
        """Return what `auto` means, and for what reason, by the name of the argument.

        Args:
            training_rows: number of training rows.
            columns: number of columns with more than two different numbers.
        """


class AutomaticChoice(NamedTuple):
    """A value that was chosen for `auto`.

    Attributes:
        key: section and name, such as `model.members`.
        value: the value.
        reason: for the panel: `for 109 training rows`.
    """

    key: str
    value: Any
    reason: str


@dataclass(frozen=True, eq=False)
class Automatic:
    """Decides what `auto` means, for the configuration of an experiment and for those of its trials.

    Attributes:
        data: the dataset.
        rows: numbers of the training rows of the smallest fold.
        earlier: the recorded configuration of a search that continues. What it leaves open, as those of earlier
            versions do, each run decides for itself as before.
    """

    data: Data
    rows: np.ndarray
    earlier: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, data: Data, splits: Sequence[Split], earlier: Mapping[str, Any] | None = None) -> Automatic:
        """Decide by the smallest of the splits."""
        return cls(data, min((split.train for split in splits), key=len), earlier)

    def choices(self, config: Mapping[str, Any]) -> tuple[AutomaticChoice, ...]:
        """Return a choice for each `auto` of a configuration, and for a first penalty that it leaves open."""
        rows = len(self.rows)
        found = (*_batches(config, rows), *_of_model(config, self.data, self.rows), *_penalty(config, rows))
        if self.earlier is None:
            return found
        return tuple(one for one in found if _value(self.earlier, one.key) != _value(config, one.key))

    def settle(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a configuration with the chosen values."""
        return with_choices(config, self.choices(config))


def _batches(config: Mapping[str, Any], rows: int) -> Iterator[AutomaticChoice]:
    if _is_auto(config["dataset"].get("batch_size")) and not takes_all_rows(config):
        yield AutomaticChoice("dataset.batch_size", automatic_rows(rows), _for_rows(rows))


def _penalty(config: Mapping[str, Any], rows: int) -> Iterator[AutomaticChoice]:
    """Yield the first penalty of a path: the best epoch of one path would be another penalty of another path."""
    optimizer = config["optimizer"]
    if locate(optimizer[TARGET]) is PenaltyPath and optimizer.get("first") is None:
        reason = f"as the first penalty {_for_rows(rows)}"
        yield AutomaticChoice("optimizer.first", first_penalty(rows), reason)


def _of_model(config: Mapping[str, Any], data: Data, rows: np.ndarray) -> Iterator[AutomaticChoice]:
    kind: Any = locate(config["model"][TARGET])
    if not isinstance(kind, HasAutomatic):
        return
    takes = signature(cast("Any", kind)).arguments
    asked = [
        name for name, argument in takes.items() if _is_auto(config["model"].get(name, argument.default))
    ]
    if not asked:
        return
    with suppress(ConfigError):  # a preprocessing that cannot take the rows is reported by the checks
        found = kind.automatic(len(rows), _columns(config, data, rows))
        for name in asked:
            if name in found:
                yield AutomaticChoice(f"model.{name}", *found[name])


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _for_rows(rows: int) -> str:
    return f"for {rows:,} training rows"


def _columns(config: Mapping[str, Any], data: Data, rows: np.ndarray) -> int:
    """Return the number of columns that a model may embed, counted in evenly spaced rows."""
    if data.kind != "table":
        return 0
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(np.int64))
    some = take(data.x, rows[places])
    try:
        fields = preprocessing_of(config).fit(some).transform(some)
    except ConfigError:
        raise
    except Exception as error:  # as in the checks: libraries raise many types for data of the wrong kind
        raise ConfigError(str(error), "preprocessing") from error
    facts = number_facts(config["model"], as_fields({"x": fields["x"]})["x"])
    return sum(bool(column) for column in facts.get("quantiles", ()))


def with_choices(config: dict[str, Any], choices: Sequence[AutomaticChoice]) -> dict[str, Any]:
    """Return the configuration with the chosen values."""
    for choice in choices:
        section, name = choice.key.split(".")
        config = {**config, section: {**config[section], name: choice.value}}
    return config


def automatic_tags(choices: Sequence[AutomaticChoice]) -> dict[str, str]:
    """Return the tags that record the choices and their reasons."""
    return {f"{AUTO_TAG}.{choice.key}": f"{choice.value} {choice.reason}" for choice in choices}


def recorded_choices(tags: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return those of a run's tags that record choices which a configuration still has."""
    start = f"{AUTO_TAG}."
    return {
        tag: text
        for tag, text in tags.items()
        if tag.startswith(start) and _has(config, tag.removeprefix(start), text.partition(" ")[0])
    }


def describe_choices(tags: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for the panel about each choice that a run's tags record."""
    return {tag.rpartition(".")[2]: f"auto: {text}" for tag, text in recorded_choices(tags, config).items()}


def _has(config: Mapping[str, Any], key: str, value: str) -> bool:
    return str(_value(config, key)) == value


def _value(config: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    found = config.get(section)
    return found.get(name) if isinstance(found, Mapping) else None
