"""Building a table's targets, which are classes, labels or numbers depending on their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, hint, near, question
from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.reading.cells import MARKERS
from dlcli.datasets.reading.number_formats import is_number_like
from dlcli.datasets.reading.spellings import spelt_as
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.typed_frames import as_categories, as_numbers, is_text, kind_of
from dlcli.errors import DataError
from dlcli.formatting import counted

MissingTarget = Literal["error", "drop"]

# Signs that may join the labels of a row.
_JOINS = ("|", ";", ",", "/", "+", "&")

# Whole numbers with at most this many distinct values are treated as classes, such as grades or codes.
_FEW = 20

# Number of values that usually show that there are more.
_FIRST = 1000

# Larger numbers have squares whose sum over many rows exceeds single precision, in which metrics are computed.
_LARGEST = 1e15

# Shares of numbers among strings from which the others are mistakes: always, or if there are many different numbers.
_MOSTLY, _MANY = 0.9, 0.5

# The keys of a dataset that hints name; some datasets lack some of them.
Key = Literal["missing_target", "missing_values", "types"]
_KEYS: tuple[Key, ...] = ("missing_target", "missing_values", "types")


def marked_classes(
    classes: Sequence[str], y: np.ndarray, where: str, remedy: str = "", words: Collection[str] = MARKERS
) -> list[Notice]:
    """Return a notice of classes whose names, such as `.`, may denote a missing value, if there are any.

    Args:
        classes: names of the classes.
        y: the class of each row.
        where: place of the targets.
        remedy: what to do if they do; empty for settings of a table.
        words: words that denote a missing value, in lower case.
    """
    named = [code for code, name in enumerate(classes) if name.lower() in words]
    if not named or y.ndim != 1:
        return []
    count, names = int(np.isin(y, named).sum()), [classes[code] for code in named]
    keys = f"{pasted('dataset.missing_values', names)} dataset.missing_target=drop"
    text = f"{counted(count, 'row')} of the class {first_names(names)}, which may denote a missing value"
    return [Notice("missing_words", count, text, where, remedy or f"If it does: {keys}.")]


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


def drop_missing(source: Source, columns: Sequence[str], how: MissingTarget) -> tuple[Source, int]:
    """Return the source without rows that lack a target, and their number, if `how` is drop."""
    missing = source.frame[list(columns)].isna().any(axis=1).to_numpy()
    if how == "error" or not missing.any():
        return source, 0
    if missing.all():
        raise DataError(
            "no row has a target", f"{source.file}, column {', '.join(columns)}", "Choose another target."
        )
    return source.without(missing), int(missing.sum())


def dropped_notices(dropped: int, rows: int, *, warns: bool = False) -> tuple[Notice, ...]:
    """Return the notice on rows that `drop_missing` left out, if there are any; `rows` are those that are left."""
    if not dropped:
        return ()
    text = f"{dropped:,} of {dropped + rows:,} rows without a target left out"
    return (Notice("missing_targets", dropped, text, warns=warns),)


def make_targets(
    source: Source, columns: Sequence[str], kinds: dict[str, str], keys: Sequence[Key] = _KEYS
) -> Targets:
    """Return the targets in the named columns; `kinds` are kinds of columns that the user gave.

    `keys` are those of the dataset, which hints name.

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
                _on_missing(keys),
            )
    if len(columns) == 1:
        return _single(source, columns[0], kinds.get(columns[0]), keys)
    numbers = np.stack([_numbers(source, name) for name in columns], axis=1)
    numeric = evaluation_targets() == "numeric" or any(kinds.get(name) == "numeric" for name in columns)
    if np.isin(numbers, (0, 1)).all() and not numeric:
        return Targets(
            numbers.astype(np.int64), classes=tuple(columns), note="labels, since all values are 0 or 1"
        )
    return Targets(numbers, names=tuple(columns))


def _on_missing(keys: Sequence[Key]) -> str:
    """Return the hint on a missing target."""
    drop = ": dataset.missing_target=drop" if "missing_target" in keys else ""
    word = " If a word such as NA or None is a class: dataset.missing_values=[]."
    return f"Fill it in, or leave out these rows{drop}.{word if 'missing_values' in keys else ''}"


def _single(source: Source, name: str, given: str | None, keys: Sequence[Key]) -> Targets:
    values = source.frame[name]
    expected = evaluation_targets()
    kind = expected if expected in ("categorical", "numeric") else given or _kind(values)
    if kind == "numeric":
        numbers = _numbers(source, name)
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
    if not expected and given is None and kind_of(values) == "categorical":
        _check_not_mostly_numbers(values, source, keys)
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
            else f"Choose another target, or set {pasted('dataset.types', {name: 'numeric'})}."
            if "types" in keys
            else "Choose another target.",
        )
    whole = kind_of(values) == "numeric" and given is None and len(classes) > 2
    note = (
        f"{len(classes)} whole numbers are treated as classes; "
        f"for regression set {pasted('dataset.types', {name: 'numeric'})}"
    )
    note = note if "types" in keys else note.partition(";")[0]
    return Targets(y, classes=classes, note=note if whole else _note_on_combinations(classes))


def _note_on_combinations(classes: Sequence[str]) -> str:
    """Return a note on classes such as `rain|wind` beside `rain`: some words joined by a sign, which may be labels."""
    for sign in _JOINS:
        words = [[word.strip() for word in name.split(sign)] for name in classes]
        often = Counter(word for found in words for word in set(found))
        if len(often) < len(classes) and all(often) and min(often.values()) > 1:
            return (
                f"{len(classes)} classes are combinations of {len(often)} words joined by {sign!r}, and each "
                f"combination is a class; to predict each word by itself, set {pasted('dataset.label_separator', sign)}"
            )
    return ""


def _numbers(source: Source, name: str) -> np.ndarray:
    """Return targets as floats; those whose squared errors would be infinite in single precision are refused."""
    numbers = as_numbers(source.frame[name], source.place)
    wrong = np.abs(numbers) > _LARGEST
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"the target {numbers[row]:g} is too large: metrics would be infinite",
            source.place(row, name),
            "Correct it, or give the targets a larger unit.",
        )
    return numbers


def _kind(values: pd.Series) -> str:
    kind = kind_of(values)
    if kind == "numeric":
        if (
            values.iloc[:_FIRST].nunique() > _FEW
        ):  # finding all distinct values of a long column takes seconds
            return "numeric"
        found = values.unique()
        few = len(found) <= _FEW and all(float(value).is_integer() for value in found)
        return "categorical" if few else "numeric"
    return kind


def _check_not_mostly_numbers(values: pd.Series, source: Source, keys: Sequence[Key]) -> None:
    """Raise an error if a few words make classes of a column of numbers."""
    distinct = pa.array(values.unique(), pa.string())
    numbers = set(distinct.filter(is_number_like(distinct)).to_pylist())
    known = values.isin(numbers).to_numpy()
    share = known.mean()
    if share < 1 and (share >= _MOSTLY or (share >= _MANY and len(numbers) > _FEW)):
        row = int((~known).argmax())
        more = f", and {(~known).sum() - 1:,} more like it" if (~known).sum() > 1 else ""
        word = values.iloc[row]
        most = "all other" if share >= _MOSTLY else "most"
        raise DataError(
            f"{word!r} is not a number{more}, but {most} values of the target are",
            source.place(row, str(values.name)),
            f"Correct it; or read it as missing and leave out such rows: "
            f"{pasted('dataset.missing_values', [word])} dataset.missing_target=drop; or, if the values are classes: "
            f"{pasted('dataset.types', {str(values.name): 'categorical'})}."
            if set(_KEYS) <= set(keys)
            else "Correct it, or leave out such rows.",
        )


def with_known_classes(targets: Targets, first: int, source: Source, name: str) -> Targets:
    """Return the targets with the classes of the training file, in whose spelling those of the test file are read.

    Args:
        targets: the targets of both files.
        first: position of the first row of the test file.
        source: the rows, for messages.
        name: name of the column.

    Raises:
        DataError: the test file has classes that the training file does not have; the hint suggests a similar one.
    """
    if not targets.classes or targets.y.ndim != 1:
        return targets
    known = np.isin(np.arange(len(targets.classes)), targets.y[:first])
    own = [str(targets.classes[code]) for code in np.flatnonzero(known)]
    if changes := spelt_as(targets.classes, own):
        classes = tuple(word for word in targets.classes if word not in changes)
        codes = np.array([classes.index(changes.get(word, word)) for word in targets.classes])
        return with_known_classes(replace(targets, y=codes[targets.y], classes=classes), first, source, name)
    unknown = np.flatnonzero(~known[targets.y[first:]])
    if len(unknown):
        word = targets.classes[targets.y[first + unknown[0]]]
        more = f", and {len(unknown) - 1:,} more rows of unknown classes" if len(unknown) > 1 else ""
        raise DataError(
            f"the class {word} does not occur in the training file{more}",
            source.place(first + int(unknown[0]), name),
            hint(question(near(word, own)), "Write classes in both files alike.", choices(own)),
        )
    return targets


def _codes(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes `(N,)` and the sorted classes; numbers are sorted numerically."""
    found, distinct = pd.factorize(values)
    names = as_categories(pd.Series(distinct))
    in_order = (
        names[np.argsort(distinct)] if kind_of(values) in ("numeric", "boolean") else sorted(set(names))
    )
    classes = tuple(dict.fromkeys(in_order))
    codes = {name: code for code, name in enumerate(classes)}
    return np.array([codes[name] for name in names], dtype=np.int64)[found], classes
