"""The profile of a dataset, and warnings about data that makes results unreliable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from dlcli.checks.column_profile import ColumnProfile, describe_columns
from dlcli.checks.far_numbers import find_far_numbers
from dlcli.checks.leaks import find_duplicates, find_split_groups, find_target_leaks, find_time_leaks
from dlcli.config.pasted import pasted, pasted_for_column
from dlcli.datasets.audio.recordings import Recordings
from dlcli.datasets.data import Data, take
from dlcli.datasets.notices import warnings_of
from dlcli.datasets.passages import Passages
from dlcli.datasets.questions.answers import Answers
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.ragged_rows import RaggedRows
from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.windows import History
from dlcli.datasets.words.sentences import Sentences
from dlcli.errors import Problem
from dlcli.formatting import counted
from dlcli.preprocessing.columns.texts import has_texts
from dlcli.splits.split import Split, in_time, name_of_test_rows

# At most this many rows are used for the checks of single columns, to bound their time.
_ROWS = 100_000

# Numbers that often denote missing values, and the minimum ratio of such a number to all other values.
_FAR = 3.0

# Minimum distance, in days, of a date that denotes a missing value from all other dates.
_DAYS = 20 * 365

# Ratio of the most to the least frequent class above which a target counts as heavily imbalanced.
_IMBALANCED = 20


@dataclass(frozen=True)
class Profile:
    """Summary of a dataset.

    Attributes:
        name: name of the dataset.
        rows: number of rows.
        rows_are: short description of the rows.
        note: how the rows are stored, or why targets are of their kind; may be empty.
        classes: class to its number of rows; for labels and masks, the number of rows that contain it.
        targets: profiles of the targets, for regression.
        columns: profiles of the columns, for tables.
        warnings: warnings about data that makes results unreliable; training is possible.
        left_out: columns that are not used, each with the reason.
        read: columns whose values are converted when they are read, each with the conversion.
        unseen: number of validation and test rows with a category that the training rows lack, by column.
    """

    name: str
    rows: int
    rows_are: str
    note: str
    classes: dict[str, int]
    targets: tuple[ColumnProfile, ...]
    columns: tuple[ColumnProfile, ...]
    warnings: tuple[Problem, ...]
    left_out: dict[str, str]
    read: dict[str, str]
    unseen: dict[str, int]


def profile(data: Data, splits: Sequence[Split]) -> Profile:
    """Return the profile of a dataset with the given splits."""
    y = data.y.reshape(len(data), -1) if data.targets and data.kind == "table" else np.empty((0, 0))
    return Profile(
        data.name,
        len(data),
        describe_rows(data) + (", split in time" if all(in_time(data, split) for split in splits) else ""),
        data.note,
        count_classes(data),
        describe_columns(pd.DataFrame(y, columns=list(data.targets))) if y.size else (),
        describe_columns(as_table(data.x)),
        tuple(find_warnings(data, splits)),
        **_reading(data, splits[0]),
    )


def _reading(data: Data, split: Split) -> dict[str, dict[str, Any]]:
    """Return columns that are left out or converted, and numbers of rows with categories unseen in the first split."""
    columns = data.columns
    if columns is None:
        return {"left_out": {}, "read": {}, "unseen": {}}
    unseen: dict[str, int] = {}
    if isinstance(data.x, pd.DataFrame):
        columns = columns.without_empty(data.x, split.train)
        seen = columns.counted(data.x, split.train)
        unseen = seen.unseen(data.x, np.concatenate([split.val, split.test]))
    read = {column.name: column.note for column in columns if column.note and column.role != "left out"}
    return {"left_out": columns.left_out(), "read": read, "unseen": unseen}


def find_warnings(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield warnings, the most serious first. Checks of single columns use at most `_ROWS` rows."""
    yield from find_split_groups(data, splits)
    rows = np.arange(0, len(data), -(-len(data) // _ROWS))
    sample = take(data.x, rows) if isinstance(data.x, pd.DataFrame) else pd.DataFrame()
    yield from find_target_leaks(sample, data, rows)
    yield from find_duplicates(data, splits)
    yield from find_time_leaks(data, splits)
    yield from _constant_numbers(data, splits)
    yield from _useless(sample, data.x)
    yield from find_far_numbers(sample, data.x)
    for name in sample.columns:
        if kind_of(sample[name]) == "date":
            yield from _far_dates(sample[name], str(name))
    yield from data.warnings
    yield from warnings_of(data.notices)
    yield from _rare_classes(data, splits)
    yield from _unlearned_answers(data, splits)


def _useless(sample: pd.DataFrame, x: Any) -> Iterator[Problem]:
    for name in sample.columns:
        values = sample[name]
        where = f"column {name}"
        # A rare value may be in none of the rows of the sample.
        if values.nunique() <= 1 and x[name].nunique() <= 1:
            yield from _constant(x[name], where, f"Leave it out: {pasted('dataset.drop', [name])}.")
        elif len(values) > 2 and values.is_unique and _numbers_rows(values) and not has_texts(values):
            yield Problem(
                "is a row number or an identifier, which carries no information about new rows",
                where,
                f"Leave it out: {pasted('dataset.drop', [name])}.",
            )


def _constant_numbers(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for each target of numbers, and each input of series, that is constant in a training part."""
    x = data.x
    if isinstance(x, History):
        names, parts = x.columns, (x.values[x[split.train].covered()] for split in splits)
    elif data.target_kind == "regression":
        names = data.targets
        parts = (np.asarray(data.y[split.train]).reshape(len(split.train), -1) for split in splits)
    else:
        return
    constant = np.any([(part == part[:1]).all(axis=0) & (len(part) > 1) for part in parts], axis=0)
    unit, place = ("step", "variable") if isinstance(x, History) else ("row", "target")
    for column in np.flatnonzero(constant):
        is_target = column < len(data.targets)
        hint = (
            "There is nothing to learn from it: name another column (dataset.target)."
            if is_target
            else "It carries no information: leave it out (dataset.inputs, dataset.known)."
        )
        what = "the target has" if is_target else "has"
        yield Problem(f"{what} the same value in every training {unit}", f"{place} {names[column]}", hint)


def _constant(values: pd.Series, where: str, remedy: str) -> Iterator[Problem]:
    """Yield the warning for a column with at most one value; which rows lack it may be informative."""
    has = values.notna()
    if has.all():
        yield Problem("has the same value in every row", where, remedy)
    elif not has.any():
        yield Problem("has no value in any row", where, remedy)
    elif (kind := kind_of(values)) != "categorical":
        marked = (
            ""
            if kind == "date"
            else " If it matters which rows lack it: preprocessing.missing_indicator=true."
        )
        yield Problem("has the same value in every row that has one", where, remedy + marked)
    # A missing category is a category of its own, so the column may be informative.


def _far_dates(dates: pd.Series, name: str) -> Iterator[Problem]:
    """Yield a warning for a date such as 9999-12-31 that repeats at the edge of a column, far from all others."""
    known = dates.dropna()
    for edge in {known.min(), known.max()} if len(known) else ():
        others, rows = known[known != edge], int((known == edge).sum())
        if rows < 2 or not len(others):
            continue
        first, last = others.min(), others.max()
        if min(abs(first - edge), abs(last - edge)) > max(_FAR * (last - first), pd.Timedelta(days=_DAYS)):
            missing = pasted_for_column("dataset.missing_values", name, [f"{edge:%Y-%m-%d}"])
            yield Problem(
                f"{edge:%Y-%m-%d} occurs {rows:,} times, far from all other dates",
                f"column {name}",
                f"If it denotes a missing value: {missing}, as it is written in the file.",
            )


def _numbers_rows(values: pd.Series) -> bool:
    if kind_of(values) == "categorical":
        return True
    steps = (
        np.diff(np.sort(values.to_numpy())) if pd.api.types.is_integer_dtype(values.dtype) else np.zeros(1)
    )
    return bool((steps == steps[0]).all() and steps[0] > 0)


def count_classes(data: Data) -> dict[str, int]:
    """Return the number of rows of each class, or with each label, or with a pixel, a box or a word of each class."""
    if not data.classes:
        return {}
    counts = data.targets_of_kind.rows_with(len(data.classes))
    return dict(zip(data.classes, counts.tolist(), strict=True))


def _rare_classes(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for classes that some training rows or several folds lack, and for heavy imbalance."""
    if not data.classes:
        return
    counts = count_classes(data)
    yield from _absent(data, counts, [split.train for split in splits], "training", 0)
    # A part with fewer rows than classes (as in leave-one-out) cannot contain them all.
    tests = [split.test for split in splits if len(split.test) >= len(counts)]
    yield from _absent(data, counts, tests, name_of_test_rows(len(splits) > 1), len(tests) // 10)
    if data.strata is None:
        return
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[least] * _IMBALANCED < counts[most]:
        yield Problem(
            f"heavily imbalanced: {counts[most]:,} rows are of class {most}, {counts[least]:,} of {least}",
            "target",
            "Look at balanced_accuracy and f1; task.loss.class_weights=balanced gives all classes equal weight.",
        )


def _absent(
    data: Data, counts: Mapping[str, int], parts: Sequence[np.ndarray], what: str, tolerated: int
) -> Iterator[Problem]:
    """Yield a warning for classes without a row in more than `tolerated` of the parts, though there are some."""
    lacking = np.zeros(len(data.classes), dtype=np.int64)
    for rows in parts:
        lacking += data.targets_of(rows).rows_with(len(data.classes)) == 0
    few = np.flatnonzero((lacking > tolerated) & (np.array(list(counts.values())) > 0))
    if not len(few):
        return
    name, hint = data.classes[few[0]], "Add rows, merge classes, or use fewer folds."
    if len(parts) > 1 and what != "training":
        there = counts[name]
        hint = f"Metrics of it are undefined there. It has {counted(there, 'row')} in all: use fewer folds, "
        spread = data.strata is not None and there >= len(parts)
        hint += (
            "or cv=stratified_kfold if no groups or times tie rows."
            if spread
            else "add rows or merge classes."
        )
    where = f" in {lacking[few[0]]:,} of {len(parts):,} splits" if len(parts) > 1 else ""
    yield Problem(
        f"class {name} has no {what} rows{where}"
        + (f"; the same holds for {counted(len(few) - 1, 'other class', 'others')}" if len(few) > 1 else ""),
        "target",
        hint,
    )


def as_table(x: Any) -> pd.DataFrame:
    """Return the columns of a table, or those of the time steps of series and sequences."""
    if isinstance(x, History | RaggedRows):
        return pd.DataFrame(x.values, columns=list(x.columns))
    return x if isinstance(x, pd.DataFrame) else pd.DataFrame()


def describe_rows(data: Data) -> str:
    """Return a description of the rows, such as `images of 8 x 8 pixels, grey`."""
    x = data.x
    if isinstance(x, History):
        times = data.y.times
        span = f"{len(x.values):,} steps, {_time(times.min())} to {_time(times.max())}"
        return f"windows ({x.lookback} steps, {x.horizon} to forecast) of {span}"
    if isinstance(x, RaggedRows):
        return f"sequences of {_range(x.lengths, 'steps')}"
    if isinstance(x, Passages):
        return f"{'lines' if x.are_documents else 'blocks'} of {_range(x.characters, 'characters')}"
    if isinstance(x, Texts):
        return f"texts of {_range(pc.fill_null(pc.utf8_length(x.values), 0).to_numpy(), 'characters')}"
    if isinstance(x, Questions):
        return f"questions on contexts of {_range(x.characters(), 'characters')}"
    if isinstance(x, Sentences):
        return f"sentences of {_range(x.lengths, 'words')}"
    if isinstance(x, Recordings):
        low, middle, high = np.quantile(x.seconds, (0, 0.5, 1))
        return f"recordings of {low:.3g} to {high:.3g} s, median {middle:.3g} s, {x.rate:,} Hz"
    if data.kind == "image":
        height, width, *channels = x.shape[1:]
        return f"images of {height} x {width} pixels, {'colour' if channels else 'grey'}"
    return "rows"


def _range(lengths: np.ndarray, unit: str) -> str:
    low, middle, high = np.quantile(lengths, (0, 0.5, 1)).round().astype(int)
    return f"{low:,} {unit}" if low == high else f"{low:,} to {high:,} {unit}, median {middle:,}"


def _time(time: Any) -> str:
    return str(pd.Timestamp(time)) if isinstance(time, np.datetime64) else f"{time:g}"


def _unlearned_answers(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for unanswerable validation or test questions if the training rows contain none."""
    if not isinstance(data.y, Answers):
        return
    none = data.y.lengths == 0
    for split in splits:
        for part, rows in ((name_of_test_rows(len(splits) > 1), split.test), ("val", split.val)):
            if none[rows].any() and not none[split.train].any():
                yield Problem(
                    f"{none[rows].sum():,} of {len(rows):,} {part} questions are unanswerable, but none for training",
                    "dataset",
                    "The model always answers, so that these count as wrong. Add unanswerable questions to the "
                    "training rows, or remove those.",
                )
                return  # one warning is enough
