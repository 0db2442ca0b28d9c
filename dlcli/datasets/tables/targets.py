"""Building a table's targets, which are classes, labels or numbers depending on their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.tables.columns import as_categories, as_numbers, is_mostly_numbers, is_text, kind_of
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError

# Whole numbers with at most this many distinct values are treated as classes, such as grades or codes.
_FEW = 20


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of `Data`.

    Attributes:
        y: codes, labels or numbers.
        classes: names of the classes or labels.
        names: names of the columns of a regression.
        note: explanation of the chosen kind, for the panel.
    """

    y: np.ndarray
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    note: str = ""


def make_targets(source: Source, columns: Sequence[str], kinds: dict[str, str]) -> Targets:
    """Return the targets in the named columns; `kinds` are kinds of columns that the user gave.

    One column of strings, booleans or few distinct whole numbers contains classes, and any other column of numbers is
    regression; 0 and 1 in several columns are labels. Evaluation-only rows (`evaluating`) take the model's kind.

    Raises:
        DataError: a value is missing or is not a number, or the targets cannot be used for training.
    """
    for name in columns:
        missing = source.frame[name].isna().to_numpy()
        if missing.any():
            more = f" (and in {missing.sum() - 1:,} more rows)" if missing.sum() > 1 else ""
            raise DataError(
                f"the target is missing{more}",
                source.place(int(missing.argmax()), name),
                "Fill it in, or remove the rows; they can be predicted later.",
            )
    if len(columns) == 1:
        return _single(source, columns[0], kinds.get(columns[0]))
    numbers = np.stack([as_numbers(source.frame[name], source.place) for name in columns], axis=1)
    numeric = evaluation_targets() == "numeric" or any(kinds.get(name) == "numeric" for name in columns)
    if np.isin(numbers, (0, 1)).all() and not numeric:
        return Targets(
            numbers.astype(np.int64), classes=tuple(columns), note="labels, since all values are 0 or 1"
        )
    return Targets(numbers, names=tuple(columns))


def _single(source: Source, name: str, given: str | None) -> Targets:
    values = source.frame[name]
    expected = evaluation_targets()
    kind = expected if expected in ("categorical", "numeric") else given or _kind(values)
    if kind == "numeric":
        numbers = as_numbers(values, source.place)
        if not expected and (numbers == numbers[0]).all():
            raise DataError(
                f"all rows have the same target, {numbers[0]:g}",
                f"{source.file}, column {name}",
                "Choose a target that varies.",
            )
        return Targets(numbers, names=(name,))
    if kind == "date":
        raise DataError(
            "dates cannot be predicted", f"{source.file}, column {name}", "Choose another target."
        )
    y, classes = _codes(values)
    if expected:
        return Targets(y, classes=classes)
    if len(classes) < 2:
        raise DataError(
            f"all rows are of one class, {classes[0]}",
            f"{source.file}, column {name}",
            "Add rows of another class, or choose another target.",
        )
    if len(classes) > max(_FEW, len(y) // 2):
        raise DataError(
            f"{len(classes):,} classes in {len(y):,} rows: most classes have a single row",
            f"{source.file}, column {name}",
            "If the column contains texts to predict from, use dataset=text, and another column as dataset.target."
            if is_text(values)
            else f"Choose another target, or set dataset.types={{{name}: numeric}}.",
        )
    whole = kind_of(values) == "numeric" and given is None
    note = (
        f"{len(classes)} whole numbers are treated as classes; "
        f"for regression set dataset.types={{{name}: numeric}}"
    )
    return Targets(y, classes=classes, note=note if whole and len(classes) > 2 else "")


def _kind(values: pd.Series) -> str:
    kind = kind_of(values)
    if kind == "numeric":
        found = values.unique()
        few = len(found) <= _FEW and all(float(value).is_integer() for value in found)
        return "categorical" if few else "numeric"
    if kind == "categorical" and is_mostly_numbers(values):
        return "numeric"  # the conversion then reports the mistakes by row
    return kind


def _codes(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes `(N,)` and the sorted classes; numbers are sorted numerically."""
    found = np.sort(values.unique()) if kind_of(values) in ("numeric", "boolean") else None
    names = as_categories(values)
    classes = (
        list(dict.fromkeys(as_categories(pd.Series(found)))) if found is not None else sorted(set(names))
    )
    codes = {name: code for code, name in enumerate(classes)}
    return np.fromiter((codes[name] for name in names), dtype=np.int64, count=len(names)), tuple(classes)
