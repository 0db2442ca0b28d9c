"""`Ensemble`: several saved models that predict as one, such as those of the folds of a cross-validation.

Each member applies its own preprocessing, which was fitted on its own training rows. Probabilities, values and
quantiles are averaged over the members, in the unit of the user; classes follow from the mean probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.config.build import build
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import InputError
from dlcli.inference.ensemble_network import EnsembleNetwork, groups_of
from dlcli.inference.forward_passes import through
from dlcli.inference.saved_model import SavedModel
from dlcli.tasks.base import Task
from dlcli.training.fields import Field

SPREAD = "spread"

# Members that a message names.
_NAMED = 5

# Facts that count rows are summed over members; other numbers are averaged.
_COUNTS = ("class_counts",)

# Facts that each member's network applies itself.
_OF_MEMBERS = ("calibrated_by", "calibration", "calibration_scores")

# Attributes of preprocessings that must be equal, by kind of data, because files are read by them.
_READING = {
    "sequence": ("lookback_", "horizon_", "targets_", "known_", "columns_", "length_", "id_", "time_"),
    "tokens": ("column_",),
    "audio": ("rate_",),
}


@dataclass(frozen=True)
class EnsembleMember:
    """A model of an ensemble.

    Attributes:
        name: Name of its run.
        model: The model.
        count: Its weight in the mean, an integer.
    """

    name: str
    model: SavedModel
    count: int = 1


@dataclass(frozen=True)
class Ensemble(SavedModel):
    """Several saved models that predict as one; its attributes are those that the members have in common.

    Attributes:
        members: The models. `network` holds all of their networks; `preprocessing` is that of the first member.
    """

    members: tuple[EnsembleMember, ...] = ()

    def fields(self, x: Any, counts: Counter[str] | None = None) -> dict[str, Field]:
        """Return the fields of raw rows for each group of members, with the names that `EnsembleNetwork` expects.

        The largest counts of truncated or unknown values among the members are added to `counts`.
        """
        found: dict[str, Field] = {}
        most: Counter[str] = Counter()
        for place, group in enumerate(groups_of([member.model for member in self.members]), start=1):
            own: Counter[str] = Counter()
            fields = self.members[group[0]].model.fields(x, None if counts is None else own)
            found |= {f"{name}_{place}": values for name, values in fields.items()}
            most |= own
        if counts is not None:
            counts.update(most)
        return found

    def outputs_of_members(
        self, x: Any, device: torch.device | str = "cpu", counts: Counter[str] | None = None
    ) -> Tensor:
        """Return the outputs of each member for raw rows, `(N, K, ...)`, in the units of the ensemble's task."""
        network = self.network
        assert isinstance(network, EnsembleNetwork)
        found = through(
            network.uncombined(), self.task, self.fields(x, counts), device, lambda outputs, _: (outputs,)
        )
        return found[0] if found else torch.empty(0, len(self.members), self.task.num_outputs)

    def computed(
        self, rows: Any, device: torch.device | str, counts: Counter[str] | None
    ) -> tuple[Tensor, pd.DataFrame, list[pd.DataFrame]]:
        """Return outputs and predictions for rows that have been read, with the spread of the members, and theirs."""
        network = self.network
        assert isinstance(network, EnsembleNetwork)
        of_members = self.outputs_of_members(rows, device, counts)
        outputs = network.combined_members(of_members)
        table = self.task.predictions(outputs)
        tables = [self.task.predictions(found) for found in of_members.unbind(dim=1)]
        spread = spread_of(table, tables, [member.count for member in self.members])
        return outputs, pd.concat([table, spread], axis=1), tables

    def members_predictions(self, x: Any, device: torch.device | str = "cpu") -> list[pd.DataFrame]:
        """Return the predictions of each member for raw rows."""
        return [self.task.predictions(found) for found in self.outputs_of_members(x, device).unbind(dim=1)]


def spread_of(table: pd.DataFrame, members: Sequence[pd.DataFrame], counts: Sequence[int]) -> pd.DataFrame:
    """Return the standard deviation of the predictions over the members of an ensemble.

    For classes this is the column `spread`, of the probability of the predicted class; for labels `spread(LABEL)`, of
    each probability; for numbers `spread` or `spread(TARGET)`, in the unit of the target.

    Args:
        table: Predictions of the ensemble.
        members: Those of its members.
        counts: Weight of each member in the mean, an integer.
    """
    shares = [str(name) for name in table.columns if str(name).startswith("p(")]
    if shares and "prediction" in table:
        of_members = np.stack([one[shares].to_numpy(np.float64) for one in members])
        places = {name[2:-1]: place for place, name in enumerate(shares)}
        chosen = table["prediction"].astype(str).map(places).to_numpy(np.int64)
        values = of_members[:, np.arange(len(table)), chosen]
        return pd.DataFrame({SPREAD: _deviation(values, counts)})
    if shares:
        return pd.DataFrame(
            {
                f"{SPREAD}{name[1:]}": _deviation(np.stack([one[name] for one in members]), counts)
                for name in shares
            }
        )
    numbers = [str(name) for name in table.columns if str(name).startswith("prediction")]
    return pd.DataFrame(
        {
            f"{SPREAD}{name.removeprefix('prediction')}": _deviation(
                np.stack([one[name].to_numpy(np.float64) for one in members]), counts
            )
            for name in numbers
            if pd.api.types.is_numeric_dtype(table[name])
        }
    )


def _deviation(values: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return the standard deviation over the first dimension, weighted by the counts."""
    mean = np.average(values, axis=0, weights=counts)
    return np.sqrt(np.average((values - mean) ** 2, axis=0, weights=counts))


def ensemble_of(members: Sequence[EnsembleMember], *, same_data: bool) -> Ensemble:
    """Return the ensemble of some models.

    Args:
        members: The models.
        same_data: Whether all were trained on the same data. Then some members may leave out columns that are constant
            in their training rows.

    Raises:
        InputError: The models are incompatible: they differ in the kind of data, task, classes, targets or columns.
    """
    first = members[0].model
    if not first.task.keeps_outputs:
        message = f"predictions of {type(first.task).__name__} cannot be averaged"
        names = ", ".join(member.name for member in members[:_NAMED])
        raise InputError(message, members[0].name, f"Use one of the models, by its name: {names}")
    for other in members[1:]:
        if found := _difference(first, other.model):
            raise _unfit(members[0], other, *found)
    columns = _merged_columns(members, same_data)
    facts = merged_facts([member.model.facts for member in members])
    kinds = Counter[str]()
    for member in members:
        kinds.update(member.model.image_kinds or {})
    task: Task = build(first.task_section, where="task", **facts)
    return Ensemble(
        EnsembleNetwork([(member.model, member.count) for member in members], task),
        first.preprocessing,
        task,
        first.kind,
        first.input_shape,
        dict(kinds) if first.image_kinds is not None else None,
        columns,
        first.task_section,
        facts,
        members=tuple(members),
    )


def _difference(one: SavedModel, other: SavedModel) -> tuple[str, str, str] | None:
    """Return the name of the first difference between two models and its two values; None if they are compatible."""
    pairs: dict[str, tuple[Any, Any]] = {
        "kind of data": (one.kind, other.kind),
        "task": (type(one.task).__name__, type(other.task).__name__),
    }
    for name in ("classes", "targets", "horizon", "season", "several_series"):
        pairs[name] = (one.facts.get(name), other.facts.get(name))
    pairs["quantiles"] = tuple(getattr(model.task, "quantiles", ()) for model in (one, other))  # type: ignore[assignment]
    pairs["number of outputs"] = (one.task.num_outputs, other.task.num_outputs)
    if one.kind == "image":
        pairs["size of images"] = (one.input_shape, other.input_shape)
    for name in _READING.get(one.kind, ()):
        read = (getattr(model.preprocessing, name, None) for model in (one, other))
        pairs[name.rstrip("_")] = tuple(read)  # type: ignore[assignment]
    for what, (left, right) in pairs.items():
        if _plain(left) != _plain(right):
            return what, _shown(left), _shown(right)
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | np.ndarray) else value


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unfit(one: EnsembleMember, other: EnsembleMember, what: str, left: str, right: str) -> InputError:
    return InputError(
        f"are incompatible in their {what}: {left or 'none'} and {right or 'none'}",
        f"{one.name}, {other.name}",
        "An ensemble needs runs of the same task, classes and columns.",
    )


def _merged_columns(members: Sequence[EnsembleMember], same_data: bool) -> Columns | None:
    """Return the columns that any member uses, with the categories that any of them was trained on."""
    known = [member.model.columns for member in members]
    if all(columns is None for columns in known):
        return None
    first = members[0]
    found: dict[str, Column] = {}
    used = {column.name for column in known[0].features()} if known[0] is not None else set()
    for member, columns in zip(members, known, strict=True):
        if columns is None or known[0] is None:
            raise _unfit(first, member, "record of columns", "known", "not known")
        names = {column.name for column in columns.features()}
        if not same_data and names != used:
            raise _unfit(first, member, "columns", _shown(sorted(used - names)), _shown(sorted(names - used)))
        for column in columns:
            before = found.get(column.name)
            if before is None or (before.role == "left out" and column.role == "feature"):
                found[column.name] = column
            elif column.role == "feature":
                found[column.name] = _merged(first, member, before, column)
    return Columns(tuple(found.values()))


def _merged(first: EnsembleMember, member: EnsembleMember, one: Column, other: Column) -> Column:
    """Return a column that two members use, with the categories of both."""
    for what in ("kind", "number", "date", "words", "missing", "trim"):
        left, right = getattr(one, what), getattr(other, what)
        if left != right:
            raise _unfit(first, member, f"column {one.name} ({what})", _shown(left), _shown(right))
    if one.categories is None or other.categories is None:
        return one
    return replace(one, categories=dict(Counter(one.categories) + Counter(other.categories)))


def merged_facts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of an ensemble's task: counts are summed, and other numbers, such as means, are averaged.

    A fact that a member lacks, such as a tuned threshold, is left out; non-numeric facts are those of the first member.
    """
    common = [name for name in facts[0] if all(name in one for one in facts) and name not in _OF_MEMBERS]
    return {name: _merged_fact(name, [one[name] for one in facts]) for name in common}


def _merged_fact(name: str, values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, bool | int | str) or first is None or any(value is None for value in values):
        return first
    try:
        numbers = np.array(values)
    except ValueError:  # of unequal lengths
        return first
    if numbers.dtype.kind not in "iuf":  # names, of which "0" and "1" look like numbers
        return first
    numbers = numbers.astype(np.float64)
    if name in _COUNTS:
        return numbers.sum(axis=0).round().astype(np.int64).tolist()
    return numbers.mean(axis=0).tolist()
