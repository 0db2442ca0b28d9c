"""What of some models decides whether they can be members of one ensemble, and the task and columns of the ensemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlcli.config.build import build
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.tasks.base import Task

# Members that a message names.
_NAMED = 5

# Facts that count rows are summed over members; other numbers are averaged.
_COUNTS = ("class_counts",)

# Facts that each member's network applies itself.
_OF_MEMBERS = ("calibrated_by", "calibration", "calibration_scores")

# Attributes of preprocessings that must be equal, by kind of data, because files are read by them.
_READING = {
    "sequence": (
        "lookback_",
        "min_lookback_",
        "horizon_",
        "targets_",
        "known_",
        "columns_",
        "length_",
        "id_",
        "time_",
    ),
    "tokens": ("column_",),
    "audio": ("rate_",),
}

# Facts of the targets that must be equal.
_EQUAL_FACTS = ("classes", "targets", "horizon", "season", "several_series")


@dataclass(frozen=True)
class MemberOutline:
    """A model without its network and its preprocessing, which may be large.

    Attributes:
        name: Name of its run.
        equal: What must be equal in all members, by the name that messages give it.
        task: Its task.
        task_section: The section `task` of its configuration.
        facts: The facts that the task was built with.
        columns: The columns of tables.
    """

    name: str
    equal: Mapping[str, Any]
    task: Task
    task_section: Mapping[str, Any]
    facts: Mapping[str, Any]
    columns: Columns | None

    @classmethod
    def of(cls, name: str, model: SavedModel) -> MemberOutline:
        """Return the outline of a model."""
        equal: dict[str, Any] = {"kind of data": model.kind, "task": type(model.task).__name__}
        equal |= {fact: model.facts.get(fact) for fact in _EQUAL_FACTS}
        equal["quantiles"] = getattr(model.task, "quantiles", ())
        equal["number of outputs"] = model.task.num_outputs
        if model.kind == "image":
            equal["size of images"] = model.input_shape
        for attribute in _READING.get(model.kind, ()):
            equal[attribute.rstrip("_")] = getattr(model.preprocessing, attribute, None)
        return cls(name, equal, model.task, model.task_section, model.facts, model.columns)


@dataclass(frozen=True)
class MergedOutline:
    """What the members of an ensemble have in common.

    Attributes:
        task: The task of the ensemble.
        facts: The facts that it was built with.
        columns: The columns that any member uses, with the categories that any of them was trained on.
    """

    task: Task
    facts: Mapping[str, Any]
    columns: Columns | None


def merged(members: Sequence[MemberOutline], *, same_data: bool) -> MergedOutline:
    """Return what members have in common.

    Args:
        members: Their outlines.
        same_data: Whether all were trained on the same data, as for `ensemble_of`.

    Raises:
        InputError: They are incompatible.
    """
    first = members[0]
    if not first.task.keeps_outputs:
        message = f"predictions of {type(first.task).__name__} cannot be averaged"
        names = ", ".join(member.name for member in members[:_NAMED])
        raise InputError(message, first.name, f"Use one of the models, by its name: {names}")
    for other in members[1:]:
        if found := _difference(first, other):
            raise _unfit(first, other, *found)
    columns = _merged_columns(members, same_data)
    facts = merged_facts([member.facts for member in members])
    return MergedOutline(build(first.task_section, where="task", **facts), facts, columns)


def _difference(one: MemberOutline, other: MemberOutline) -> tuple[str, str, str] | None:
    """Return the name of the first difference between two models and its two values; None if they are compatible."""
    for what, left in one.equal.items():
        right = other.equal.get(what)
        if _plain(left) != _plain(right):
            return what, _shown(left), _shown(right)
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | np.ndarray) else value


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unfit(one: MemberOutline, other: MemberOutline, what: str, left: str, right: str) -> InputError:
    return InputError(
        f"are incompatible in their {what}: {left or 'none'} and {right or 'none'}",
        f"{one.name}, {other.name}",
        "An ensemble needs runs of the same task, classes and columns.",
    )


def _merged_columns(members: Sequence[MemberOutline], same_data: bool) -> Columns | None:
    """Return the columns that any member uses, with the categories that any of them was trained on."""
    known = [member.columns for member in members]
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


def _merged(first: MemberOutline, member: MemberOutline, one: Column, other: Column) -> Column:
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
