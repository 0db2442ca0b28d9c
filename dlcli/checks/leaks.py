"""Find leakage: columns that reveal the target, duplicates across parts of a split, and training on later rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcli.config.pasted import pasted
from dlcli.datasets.audio.recordings import Recordings
from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice
from dlcli.datasets.pair_texts import PairTexts
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.words.sentences import Sentences
from dlcli.errors import Problem
from dlcli.formatting import counted
from dlcli.splits.split import Split, goes_forward, name_of_test_rows

# Number of rows on which sums of two columns are first compared with the target; matches are compared on all rows.
_FEW = 64

# Above this correlation, a column counts as the target in another unit.
_SAME = 0.9999

# Warn when at least this fraction of a part's rows is also among the training rows.
_MANY = 0.05

# Number of rows from which on a few columns are compared before all of them, and the number of these columns.
_LARGE, _COLUMNS = 100_000, 4

# Kind of data to the name of a row, and to how rows are compared.
_EQUAL = {
    "table": ("rows", "value for value"),
    "tokens": ("texts", "letter for letter"),
    "image": ("images", "pixel for pixel"),
    "audio": ("recordings", "sample for sample"),
    "questions": ("questions", "letter for letter"),
    "words": ("sentences", "word for word"),
}


def find_duplicates(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for test or validation rows of the first split whose inputs are also among its training rows."""
    split = splits[0]
    if not are_comparable(data) or _differ_in_few_columns(data.x, split):
        return
    codes = _codes(data.x)
    if codes is None:
        return
    for part, rows in ((name_of_test_rows(len(splits) > 1), split.test), ("val", split.val)):
        again = _repeated(codes, rows, split.train)
        if again and again >= _MANY * len(rows):
            noun, how = _EQUAL[data.kind]
            yield Problem(
                f"{again:,} of {len(rows):,} {part} {noun} are also among the training {noun}, {how}",
                "dataset",
                f"Metrics on them are too optimistic. Remove the duplicates{_together(data.x)}.",
            )
            return  # one warning is enough
        if isinstance(data.x, Questions) and (shared := _repeated(data.x.places, rows, split.train)):
            yield Problem(
                f"{shared:,} of {len(rows):,} {part} questions are on contexts of training questions",
                "dataset",
                "Metrics do not apply to new contexts. Remove these questions, or keep those of a context together: "
                "groups are the articles of SQuAD's JSON, or dataset.group of a table (and cv=group_kfold for folds).",
            )
            return


def are_comparable(data: Data) -> bool:
    """Return whether rows of this kind can be found again among others; windows of series overlap by design."""
    return data.kind in _EQUAL


def trained_before(new: Data, data: Data, trained: np.ndarray, where: str) -> list[Notice]:
    """Return the notice on new rows whose inputs are also among a run's training rows; empty if there are none.

    Args:
        new: Rows to evaluate, of a kind that `are_comparable`.
        data: The run's rows.
        trained: Numbers of its training rows.
        where: File of the new rows.
    """
    rows, old = _comparable(new.x), _comparable(data.x)
    if isinstance(rows, pd.DataFrame):
        old = old.reindex(columns=rows.columns)
    codes, known = _codes(rows), _codes(old)  # None for rows that are read when needed, such as large images
    again = 0 if codes is None or known is None else int(pd.Series(codes).isin(known[trained]).sum())
    if not again:
        return []
    noun, how = _EQUAL[data.kind]
    text = (
        f"{again:,} of {counted(len(new), noun[:-1])} are also among the training {noun} of the model, {how}"
    )
    hint = "Metrics on them are too optimistic. Without --file, eval takes the run's test rows."
    return [Notice("trained_before", again, text, where, hint, warns=again >= _MANY * len(new))]


def _comparable(x: Any) -> Any:
    """Return rows whose equal values have equal types: columns of whole numbers are floats if one is missing."""
    if not isinstance(x, pd.DataFrame):
        return x
    numbers = [name for name in x.columns if kind_of(x[name]) == "numeric"]
    return x.astype({name: "float64" if name in numbers else "str" for name in x.columns})


def _repeated(codes: np.ndarray, rows: np.ndarray, trained: np.ndarray) -> int:
    """Return the number of rows whose code also occurs among the training rows."""
    return int(pd.Series(codes[rows]).isin(codes[trained]).sum())


def _differ_in_few_columns(x: Any, split: Split) -> bool:
    """Return whether a few numeric columns of a large table already show that there are not many duplicates."""
    if not isinstance(x, pd.DataFrame) or len(x) < _LARGE:
        return False
    numbers = [name for name in x.columns if pd.api.types.is_float_dtype(x[name].dtype)][:_COLUMNS]
    if not numbers:
        return False
    codes = pd.util.hash_pandas_object(x[numbers], index=False).to_numpy()
    # For both parts together, since the hash table of all training rows takes longer than looking up.
    evaluated = np.concatenate([split.test, split.val])
    again = pd.Series(codes[evaluated]).isin(codes[split.train]).to_numpy()
    parts = [part for part in np.split(again, [len(split.test)]) if len(part)]
    return all(np.count_nonzero(part) < _MANY * len(part) for part in parts)


def _together(x: Any) -> str:
    """Return the hint on groups, another remedy for duplicates; a column of texts can serve as the groups."""
    if isinstance(x, PairTexts):
        return ""
    if isinstance(x, Texts) and x.name:
        settings = " ".join(["dataset=text", pasted("dataset.text", x.name), pasted("dataset.group", x.name)])
        return f", or keep them in one group: {settings} (and cv=group_kfold for folds)"
    if isinstance(x, pd.DataFrame):
        return ", or keep them in one group: dataset.group and cv=group_kfold"
    return ""


def _codes(x: Any) -> np.ndarray | None:
    """Return a hash of each row `(N,)`; None where hashing is slow, or rows overlap by design."""
    if isinstance(x, pd.DataFrame):
        return pd.util.hash_pandas_object(x, index=False).to_numpy()
    if isinstance(x, Texts | Questions | Sentences):
        return np.fromiter(map(hash, x), dtype=np.int64, count=len(x))
    if isinstance(x, Recordings) or (isinstance(x, np.ndarray) and x.ndim >= 3):
        digests = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in x)
        return np.frombuffer(b"".join(digests), dtype=np.uint64)
    return None


def find_split_groups(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for groups with rows in several parts of a split; series are exempt, being split in time."""
    if data.groups is None or data.reach is not None:
        return
    names, codes = np.unique(data.groups, return_inverse=True)
    for split in splits:
        present = np.zeros((3, len(names)), dtype=bool)
        for part, rows in enumerate((split.train, split.val, split.test)):
            present[part, codes[rows]] = True
        torn = np.flatnonzero(present.sum(axis=0) > 1)
        if len(torn):
            yield Problem(
                f"{len(torn):,} of {len(names):,} groups are in two parts of a split, such as {names[torn[0]]}",
                "dataset.group",
                "The model is evaluated on groups it was trained on. Choose cv=group_kfold or cv=holdout.",
            )
            return  # one warning is enough


def find_target_leaks(x: pd.DataFrame, data: Data, rows: np.ndarray) -> Iterator[Problem]:
    """Yield a warning for each column, or sum or difference of two columns, that determines the target.

    Args:
        x: the given rows of the table.
        data: the full dataset.
        rows: positions of the rows of `x` in it.
    """
    if not len(x.columns):  # not a table
        return
    y = data.y[rows]
    numbers = {
        str(name): x[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in x.columns
        if kind_of(x[name]) == "numeric"
    }
    if data.targets:
        for target, values in zip(data.targets, y.reshape(len(y), -1).T, strict=True):
            alone = [name for name, column in numbers.items() if _same(column, values)]
            yield from (_given_away([name], target, "is the target in another unit") for name in alone)
            others = {name: column for name, column in numbers.items() if name not in alone}
            yield from (_given_away(found, target, "is the target") for found in _sums(others, values))
    elif data.strata is not None:
        for name in x.columns:
            if _separates(x[name], y):
                yield _given_away([str(name)], "", "determines the class of every row")


def _given_away(what: Sequence[str], target: str, how: str) -> Problem:
    return Problem(
        f"{' '.join(what)} {how}",
        f"target {target}".strip(),
        f"If it is unknown at prediction time, leave it out: {pasted('dataset.drop', what[::2])}.",
    )


def _same(column: np.ndarray, values: np.ndarray) -> bool:
    known = ~np.isnan(column)
    a, b = column[known], values[known]
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return False
    return abs(float(np.corrcoef(a, b)[0, 1])) > _SAME


def _sums(columns: dict[str, np.ndarray], values: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Yield pairs of columns whose sum or difference equals the target in every row."""
    names = list(columns)
    if len(names) < 2:
        return
    few = np.stack([columns[name][:_FEW] for name in names], axis=1)
    for first, name in enumerate(names):
        # target = a + b if target - a equals b; target = a - b if a - target equals b.
        for sign, rest in (("+", values[:_FEW] - few[:, first]), ("-", few[:, first] - values[:_FEW])):
            close = np.isclose(few, rest[:, None], rtol=1e-9, atol=1e-9).all(axis=0)
            for second in np.flatnonzero(close):
                if second == first or (sign == "+" and second < first):
                    continue
                other = columns[names[second]]
                combined = columns[name] + other if sign == "+" else columns[name] - other
                # Adding a column of zeros proves nothing: the first column alone equals the target.
                if np.allclose(combined, values, rtol=1e-9, atol=1e-9) and other.any():
                    yield name, sign, names[second]


def _separates(values: pd.Series, y: np.ndarray) -> bool:
    """Return whether each value occurs in one class only and, for numbers, each class in one interval only."""
    known = values.notna().to_numpy()
    if known.mean() < 0.5 or len(np.unique(y[known])) < 2:
        return False
    codes, found = pd.factorize(values[known], sort=kind_of(values) != "categorical")
    if kind_of(values) == "categorical" and len(found) > 0.5 * len(codes):
        return False  # an identifier: nearly every value occurs once, so each trivially has one class
    classes = y[known]
    low = np.full(len(found), np.iinfo(np.int64).max)
    high = np.full(len(found), -1)
    np.minimum.at(low, codes, classes)
    np.maximum.at(high, codes, classes)
    if (low != high).any():
        return False
    return kind_of(values) == "categorical" or np.count_nonzero(np.diff(low)) == len(np.unique(classes)) - 1


def find_time_leaks(data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning for splits that train on later rows than they evaluate on.

    The order is that of `dataset.time` or, without it, of a table's first column of dates. A series is always split in
    time.
    """
    if data.reach is not None or data.order == "position":
        return
    if data.times is not None:
        if _mixed(data.times, splits):
            yield Problem(
                "the split ignores time: some training rows are later than evaluation rows",
                "dataset.time",
                "Metrics are too optimistic for future rows. Use cv=time_series, or cv=holdout cv.by_time=true.",
            )
    elif isinstance(data.x, pd.DataFrame):
        of_day = {column.name for column in data.columns or () if column.date.has_no_day}
        dates = [name for name in data.x.columns if kind_of(data.x[name]) == "date" and name not in of_day]
        for name in dates[:1]:
            known = data.x[name].notna().to_numpy()
            dated = [Split(*(rows[known[rows]] for rows in (s.train, s.val, s.test))) for s in splits]
            if _mixed(data.x[name].to_numpy(), dated):
                yield Problem(
                    "holds dates that the split ignores: some training rows are later than evaluation rows",
                    f"column {name}",
                    f"If the model will be used on later rows, split in time: {pasted('dataset.time', str(name))}.",
                )


def _mixed(times: np.ndarray, splits: Sequence[Split]) -> bool:
    """Return whether any split has evaluation rows that are not later than its training rows."""
    return not all(
        goes_forward(times, Split(s.train, s.val[:0], s.test if len(s.test) else s.val)) for s in splits
    )
