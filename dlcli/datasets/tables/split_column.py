"""The user's own split: a column with train, val and test in any usual spelling, or with fold numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.config.pasted import pasted
from dlcli.datasets.folders.part_words import SHOWN, part_of
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError

# Rows that are looked at before all of them, and the most words that a column of parts has.
_FIRST, _PARTS = 1000, 6

# Names of columns of 0 and 1 that denote a part without a prefix such as `is_`, and those that do not even with it.
_MARKS, _NO_MARKS = ("train", "test", "holdout"), ("valid", "tr")


@dataclass(frozen=True, eq=False)
class OwnSplit:
    """The parts of a split.

    Attributes:
        words: train, val or test of each row, or fold numbers; None if the data defines no split.
        val: the rows for validation; None if the data names none.
        test: the rows of the final test; None if the data names none.
    """

    words: np.ndarray | None = None
    val: np.ndarray | None = None
    test: np.ndarray | None = None


def unused_split(frame: pd.DataFrame, features: Sequence[str]) -> list[Notice]:
    """Return the notice on a column of parts, such as train and test, that is used as a feature."""
    found = {}
    marks = [name for name in features if _marks_part(name, frame[name])]
    for name in features:
        values = frame[name]
        if pd.api.types.is_string_dtype(values.dtype) and values.head(_FIRST).nunique() <= _PARTS:
            words = values.dropna().unique()
            parts = {part_of(str(word)) for word in words[: _PARTS + 1]}
            if len(words) <= _PARTS and {"train"} < parts <= {"train", "val", "test"}:
                found[name] = ", ".join(map(str, words))
    told = "; ".join(f"{name} ({words})" for name, words in found.items())
    text = f"looks like a split, and is used as a feature: {told}"
    name = next(iter(found), "")
    hint = f"If it is yours, set {pasted('dataset.split', name)}; or leave it out: {pasted('dataset.drop', [name])}."
    notices = [Notice("unused_splits", len(found), text, f"column {name}", hint)] if found else []
    if marks:
        text = f"may mark the rows of a part, and is used as a feature: {', '.join(marks)}"
        hint = (
            f"If it does, write train and test in it and set {pasted('dataset.split', marks[0])}; or leave it out: "
            f"{pasted('dataset.drop', marks)}."
        )
        notices.append(Notice("unused_marks", len(marks), text, f"column {marks[0]}", hint))
    return notices


def _marks_part(name: str, values: pd.Series) -> bool:
    """Return whether a column such as `is_test` holds whether rows belong to a part, as booleans or 0 and 1."""
    plain, prefixes = re.subn(r"^(?i:is|in|for)(?=[\s_A-Z-])", "", name.strip())
    word = plain.strip(" _-").casefold()
    # Without a prefix, other words are rather features; `valid` and `test1` are with one, too.
    if word in _NO_MARKS or word[-1:].isdecimal() or (not prefixes and word not in _MARKS):
        return False
    if part_of(plain) is None or not pd.api.types.is_numeric_dtype(values.dtype):
        return False
    return set(values.dropna().unique()) <= {0, 1}


def parts_of(source: Source, column: str | None, first: int | None = None) -> OwnSplit:
    """Return the parts that a column defines; those of the rows of a test file, which begin at `first`, are test.

    Raises:
        DataError: a value is missing or is no part, or both the column and a test file define the test.
    """
    test_file = np.arange(first, len(source.frame)) if first is not None else None
    found = source.split_column(column, "split")
    if found is None:
        return OwnSplit(test=test_file)
    numbers = pd.api.types.is_numeric_dtype(found.dtype)
    if numbers and not pd.api.types.is_bool_dtype(found.dtype):
        if _marks_part(str(column), pd.Series(found)):
            raise DataError(
                "0 and 1 are not parts of a split, and the column's name denotes no folds",
                f"{source.file}, column {column}",
                f"Write {SHOWN} in it; or name it fold if these are numbers of folds.",
            )
        return OwnSplit(found, test=test_file)
    codes, words = pd.factorize(found)
    numbered = pd.Series(map(str, words)).str.extract(r"(?i)^\s*(?:fold|split)[\s_-]*(\d+)\s*$")[0]
    if numbered.notna().all():
        return OwnSplit(numbered.astype(int).to_numpy()[codes], test=test_file)
    parts = [part_of(str(word)) for word in words]
    if None in parts:
        code = parts.index(None)
        raise DataError(
            f"{str(words[code])!r} is not a part of a split",
            source.place(int((codes == code).argmax()), str(column)),
            f"Use {SHOWN}, or fold numbers.",
        )
    if "train" not in parts:
        raise DataError(
            f"the column has no training rows: its words are {', '.join(map(str, words))}",
            f"{source.file}, column {column}",
            f"Use {SHOWN}.",
        )
    of_rows = np.array(parts, dtype=object)[codes].astype(str)
    if test_file is not None:
        if (of_rows[:first] == "test").any():
            raise DataError(
                "the test is defined twice: by this column and by dataset.test_path",
                f"{source.file}, column {column}",
                "Leave out dataset.test_path, or the test rows of the column.",
            )
        of_rows[first:] = "test"
    val, test = np.flatnonzero(of_rows == "val"), np.flatnonzero(of_rows == "test")
    return OwnSplit(of_rows, val if len(val) else None, test if len(test) else None)
