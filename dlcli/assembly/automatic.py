"""Resolve the values `auto` of a new experiment, once for all of its training runs.

Folds differ in their number of training rows, and a refit has more of them. If the values were resolved for each of
them, the refit could use a model or a batch size that was never validated. They are therefore resolved for the smallest
fold, and recorded in the configuration of all runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from dlcli.assembly.batch_rows import automatic_rows, takes_all_rows
from dlcli.assembly.fitted_sample import fitted_sample
from dlcli.assembly.head_choice import automatic_head
from dlcli.assembly.number_facts import number_facts
from dlcli.config.build import TARGET, locate
from dlcli.config.compose import Composed
from dlcli.config.set_by_user import set_by_command, set_by_user
from dlcli.config.signature import signature
from dlcli.datasets.data import Data, take
from dlcli.errors import ConfigError
from dlcli.splits.split import Split
from dlcli.tracking.mlflow_tags import AUTO_TAG
from dlcli.training.class_ratios import automatic_ratios
from dlcli.training.fields import as_fields
from dlcli.training.finetuning import ProbeFirst
from dlcli.training.path_penalties import first_penalty
from dlcli.training.penalty_path import FACTOR, FACTOR_OF_TEXTS, TOLERANCE_OF_BAGS, PenaltyPath

AUTO, NONE = "auto", "none"
PRECISION, FULL_PRECISION = "trainer.precision", "32-true"

# About as many images decide whether there are colours; to copy all of them would take memory and time.
_IMAGES = 64

# Number of training rows that are preprocessed to count numeric columns.
_ROWS = 1024


@runtime_checkable
class HasAutomatic(Protocol):
    """A model some of whose arguments may be `auto`."""

    @staticmethod
    def automatic(training_rows: int, columns: int) -> dict[str, tuple[Any, str]]:
        """Return argument to the value of `auto` and the reason for it.

        Args:
            training_rows: number of training rows.
            columns: number of numeric columns with more than two different values.
        """


@runtime_checkable
class HasAutomaticForRows(Protocol):
    """A preprocessing or an augmentation some of whose arguments may be `auto`."""

    @staticmethod
    def automatic_for(x: Any) -> dict[str, tuple[Any, str]]:
        """Return argument to the value of `auto` for raw training rows, and the reason for it."""


class AutomaticChoice(NamedTuple):
    """A value that was chosen for `auto`.

    Attributes:
        key: section and name, such as `model.members`; a section alone is left empty, as by its option `none`.
        value: the value; "none" for a section, or the name of its class if it is complete already.
        reason: reason for the panel, such as `for 109 training rows`.
    """

    key: str
    value: Any
    reason: str

    @property
    def told(self) -> str:
        """The value and the reason."""
        return f"{self.value} {self.reason}"


@dataclass(frozen=True, eq=False)
class Automatic:
    """Resolves `auto` in the configurations of an experiment and of its trials.

    Attributes:
        data: the dataset.
        rows: numbers of the training rows of the smallest fold, `(N,)`.
        earlier: the recorded configuration of a search that continues. Values `auto` in it, from earlier versions, are
            resolved by each run as before.
        precision: the choice of `trainer.precision` for all runs; None before it is made.
    """

    data: Data
    rows: np.ndarray
    earlier: Mapping[str, Any] | None = None
    precision: AutomaticChoice | None = None

    @classmethod
    def of(cls, data: Data, splits: Sequence[Split], earlier: Mapping[str, Any] | None = None) -> Automatic:
        """Return the object for the smallest of the splits."""
        return cls(data, min((split.train for split in splits), key=len), earlier)

    def choices(
        self, asked: Mapping[str, Any], composed: Composed | None = None
    ) -> tuple[AutomaticChoice, ...]:
        """Return the choices for each `auto` of a configuration, and for a path's first penalty if it is not set.

        Args:
            asked: the configuration.
            composed: its composition, which tells what the user has set; None if nothing is.
        """
        rows = len(self.rows)
        tuned = tuple(_of_finetuning(asked, rows))
        config = with_choices(dict(asked), tuned)  # augmentation follows from it
        augmented = tuple(_of_augmentation(config, self.data, self.rows))
        found = (
            *tuned,
            *_of_head(with_choices(config, augmented), self.data, composed),
            *_batches(config, rows),
            *_for_rows_of(config, "preprocessing", self.data, self.rows),
            *augmented,
            *_of_model(config, self.data, self.rows),
            *_penalty(config, self.data, self.rows),
            *self._of_precision(config),
        )
        if self.earlier is None:
            return found
        # The choice of a whole section has no value to compare.
        earlier = self.earlier
        return tuple(
            one for one in found if "." not in one.key or _value(earlier, one.key) != _value(asked, one.key)
        )

    def _of_precision(self, config: Mapping[str, Any]) -> Iterator[AutomaticChoice]:
        """Yield the chosen precision; full precision for the checks, which precede the choice."""
        if not _is_auto(config["trainer"].get("precision")):
            return
        known = None if self.earlier is None else _value(self.earlier, PRECISION)
        if self.precision is None and known is not None and not _is_auto(known):
            yield AutomaticChoice(PRECISION, known, "as measured when the search started")
        else:
            yield self.precision or AutomaticChoice(PRECISION, FULL_PRECISION, "as it was not measured")

    def settle(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration with the chosen values in place of `auto`."""
        return with_choices(config, self.choices(config))


def _batches(config: Mapping[str, Any], rows: int) -> Iterator[AutomaticChoice]:
    if _is_auto(config["dataset"].get("batch_size")) and not takes_all_rows(config):
        yield AutomaticChoice("dataset.batch_size", automatic_rows(rows), _for_rows(rows))


def _penalty(config: Mapping[str, Any], data: Data, numbers: np.ndarray) -> Iterator[AutomaticChoice]:
    """Yield the penalties of a path, which must be the same for all runs, because epochs count them."""
    optimizer, rows, is_text = config["optimizer"], len(numbers), data.kind == "tokens"
    if locate(optimizer[TARGET]) is not PenaltyPath:
        return
    if optimizer.get("first") is None:
        reason = f"as the first penalty {_for_rows(rows)}"
        yield AutomaticChoice("optimizer.first", first_penalty(rows), reason)
    if optimizer.get("factor") is None:
        told = f"as the ratio of penalties for {'texts' if is_text else 'this kind of data'}"
        yield AutomaticChoice("optimizer.factor", FACTOR_OF_TEXTS if is_text else FACTOR, told)
    is_bag = getattr(locate(config["model"][TARGET]), "reads_text", "") == "bag"
    if not (is_text and is_bag):
        return
    if optimizer.get("tolerance", 0) is None:
        yield AutomaticChoice("optimizer.tolerance", TOLERANCE_OF_BAGS, "as the tolerance for texts")
    if optimizer.get("class_ratios", 0) is None:
        kind = getattr(locate(config["task"][TARGET]), "kind", "")
        if found := automatic_ratios(kind, data.y, numbers):
            yield AutomaticChoice("optimizer.class_ratios", *found)


def _for_rows_of(
    config: Mapping[str, Any], name: str, data: Data, rows: np.ndarray
) -> Iterator[AutomaticChoice]:
    """Yield the choices of a section whose class decides by raw training rows."""
    asked = [key for key, value in config[name].items() if _is_auto(value)]
    kind: Any = locate(config[name][TARGET]) if asked else None
    accepted = getattr(kind, "accepts", (data.kind,))
    if not isinstance(kind, HasAutomaticForRows) or data.kind not in accepted:
        return  # the checks report data of another kind
    found = kind.automatic_for(take(data.x, rows))
    yield from (AutomaticChoice(f"{name}.{key}", *found[key]) for key in asked if key in found)


def _of_finetuning(config: Mapping[str, Any], rows: int) -> Iterator[AutomaticChoice]:
    section = config["finetune"] or {}
    is_probe = TARGET in section and locate(section[TARGET]) is ProbeFirst
    if is_probe and _is_auto(section.get("tune", "auto")):
        found = ProbeFirst.automatic(rows)
        yield AutomaticChoice("finetune.tune", *found["tune"])


def _of_head(config: Mapping[str, Any], data: Data, composed: Composed | None) -> Iterator[AutomaticChoice]:
    if _is_auto((config["finetune"] or {}).get("head")):
        named = set_by_user(composed) if composed else ()
        commanded = set_by_command(composed) if composed else ()
        yield AutomaticChoice("finetune.head", *automatic_head(config, data, named, commanded))


def _of_augmentation(config: Mapping[str, Any], data: Data, rows: np.ndarray) -> Iterator[AutomaticChoice]:
    if not any(map(_is_auto, config["augmentation"].values())):
        return
    if reason := _why_rows_stay(config, data) or _why_too_short(config, data, rows):
        asked = config["augmentation"]
        if any(value for key, value in asked.items() if key != TARGET and not _is_auto(value)):
            # The other values are the user's: the checks report what they conflict with.
            yield from (
                AutomaticChoice(f"augmentation.{key}", 0.0, reason)
                for key, value in asked.items()
                if _is_auto(value)
            )
        else:
            yield AutomaticChoice("augmentation", NONE, reason)
        return
    found = list(_for_rows_of(config, "augmentation", data, rows))
    settled = with_choices(dict(config), found)["augmentation"]
    if found and not any(value for key, value in settled.items() if key != TARGET):
        found = [AutomaticChoice("augmentation", NONE, found[0].reason)]
    yield from found


def _why_rows_stay(config: Mapping[str, Any], data: Data) -> str:
    """Return why augmentation cannot be used or would not help; "" if it may."""
    if data.kind != "image":
        return f"for {data.kind} data"
    if takes_all_rows(config):
        return "as each step solves on the same rows"
    finetune = config["finetune"] or {}
    if finetune.get("cache") or finetune.get("tune") is False:
        return "as the features of a frozen backbone are computed once"
    if not getattr(locate(config["task"][TARGET]), "predicts_rows", True):
        return "as the images to learn would be changed ones"
    return ""


def _why_too_short(config: Mapping[str, Any], data: Data, rows: np.ndarray) -> str:
    """Return why a network that starts from random weights is trained for too short a time to gain; "" if it is not."""
    kind: Any = locate(config["augmentation"][TARGET])
    epochs = config["trainer"].get("max_epochs") or -1
    if config["finetune"] or epochs < 0 or not hasattr(kind, "too_short"):
        return ""
    some = rows[:: max(1, len(rows) // _IMAGES)]
    reason: str = kind.too_short(take(data.x, some), len(rows), epochs)
    return reason


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
    """Return the number of numeric columns that a model may embed, counted on evenly spaced rows."""
    if data.kind != "table":
        return 0
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(np.int64))
    try:
        _, fields = fitted_sample(config, data, rows[places])
    except ConfigError:
        raise
    except Exception as error:  # as in the checks: libraries raise many types for data of the wrong kind
        raise ConfigError(str(error), "preprocessing") from error
    facts = number_facts(config["model"], as_fields({"x": fields["x"]})["x"])
    return sum(bool(column) for column in facts.get("quantiles", ()))


def with_choices(config: dict[str, Any], choices: Sequence[AutomaticChoice]) -> dict[str, Any]:
    """Return the configuration with the chosen values in place of `auto`."""
    for choice in choices:
        section, _, name = choice.key.partition(".")
        if not name and choice.value != NONE:
            continue
        config = {**config, section: {**config[section], name: choice.value} if name else {}}
    return config


def automatic_tags(choices: Sequence[AutomaticChoice]) -> dict[str, str]:
    """Return the tags that record the choices and their reasons."""
    return {f"{AUTO_TAG}.{choice.key}": choice.told for choice in choices}


def recorded_choices(tags: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a run that record choices, as far as the configuration still has their values."""
    start = f"{AUTO_TAG}."
    return {
        tag: text
        for tag, text in tags.items()
        if tag.startswith(start) and _has(config, tag.removeprefix(start), text.partition(" ")[0])
    }


def describe_choices(tags: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for the panel about each choice that a run's tags record."""
    names = {tag: tag.rpartition(".")[2] for tag in recorded_choices(tags, config)}
    # The panel has a line on the model already.
    return {"chosen" if name == "model" else name: f"auto: {tags[tag]}" for tag, name in names.items()}


def _has(config: Mapping[str, Any], key: str, value: str) -> bool:
    return str(_value(config, key)) == value


def _value(config: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    found = config.get(section)
    if not name:
        return found.get(TARGET, "").rpartition(".")[2] if found else NONE
    value = found.get(name) if isinstance(found, Mapping) else None
    return value[TARGET].rpartition(".")[2] if isinstance(value, Mapping) and TARGET in value else value
