"""Strategies: complete and disjoint parts, groups kept together, deterministic splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.group_kfold import GroupKFold
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold
from dlcli.splits.leave_one_out import LeaveOneOut
from dlcli.splits.predefined import Predefined
from dlcli.splits.shuffle_split import ShuffleSplit
from dlcli.splits.split import Split
from dlcli.splits.time_series import TimeSeries

ROWS = 120


def some_data(**columns: Any) -> Data:
    random = np.random.default_rng(0)
    defaults = {
        "groups": np.array([f"patient {code}" for code in random.integers(0, 12, ROWS)], dtype=object),
        "times": random.permutation(np.repeat(np.arange(60), 2)),
        "parts": random.integers(-1, 4, ROWS),
    }
    x = random.normal(size=(ROWS, 3, 1)).astype(np.float32)
    y = np.arange(ROWS, dtype=np.int64) % 3
    return Data("some", "sequence", x, y, ("a", "b", "c"), **{**defaults, **columns})


STRATEGIES = [
    (Holdout(), 1),
    (KFold(5), 5),
    (KFold(4, stratify=True, test_size=0.1), 4),
    (KFold(3, repeats=2), 6),
    (KFold(3, shuffle=False), 3),
    (GroupKFold(4, test_size=0.2), 4),
    (GroupKFold(3, stratify=True), 3),
    (GroupKFold(None), 12),
    (LeaveOneOut(), ROWS),
    (ShuffleSplit(7), 7),
    (TimeSeries(4, test_size=0.1, gap=2), 4),
    (TimeSeries(4, window=20), 4),
    (Predefined(), 4),
]
NAMES = [f"{type(strategy).__name__}-{index}" for index, (strategy, _) in enumerate(STRATEGIES)]


@pytest.mark.parametrize(("strategy", "count"), STRATEGIES, ids=NAMES)
def test_splits_are_disjoint_complete_and_deterministic(strategy: Any, count: int) -> None:
    data = some_data()
    splits, final = strategy.splits(data), strategy.final_test(data)
    assert len(splits) == count
    assert [s.fingerprint for s in splits] == [s.fingerprint for s in strategy.splits(data)]
    for split in splits:
        parts = [split.train, split.val, split.test]
        assert all(len(part) for part in parts)
        assert all((np.diff(part) > 0).all() for part in parts)
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        if not isinstance(strategy, Holdout):
            assert not np.isin(final, np.concatenate(parts)).any()


@pytest.mark.parametrize("strategy", [KFold(5), KFold(4, stratify=True), LeaveOneOut(), GroupKFold(4)])
def test_each_row_is_held_out_once(strategy: Any) -> None:
    held_out = np.concatenate([split.test for split in strategy.splits(some_data())])
    assert sorted(held_out) == list(range(ROWS))


def test_stratified_folds_are_those_of_scikit_learn() -> None:
    data = some_data()
    theirs = StratifiedKFold(5, shuffle=True, random_state=3).split(data.y, data.y)
    ours = KFold(5, stratify=True, seed=3).splits(data)
    for split, (_, test) in zip(ours, theirs, strict=True):
        assert split.test.tolist() == test.tolist()
        assert np.ptp(np.bincount(data.y[split.val])) <= 1


@pytest.mark.parametrize(
    "strategy",
    [GroupKFold(4, test_size=0.2), GroupKFold(3, stratify=True), GroupKFold(None), Holdout(), Predefined()],
)
def test_groups_stay_together(strategy: Any) -> None:
    groups = some_data().groups
    data = some_data(parts=np.where(np.isin(groups, np.unique(groups)[:3]), "test", "train"))
    final = strategy.final_test(data)
    if len(strategy.splits(data)) == 1:
        final = final[:0]  # a single split uses them as its test rows
    for split in strategy.splits(data):
        places = [set(data.groups[rows]) for rows in (split.train, split.val, split.test, final)]
        assert sum(map(len, places)) == len(set.union(*places)) == 12


@pytest.mark.parametrize("gap", [0, 3])
def test_parts_follow_each_other_in_time(gap: int) -> None:
    data = some_data()
    strategy = TimeSeries(4, gap=gap, test_size=0.1)
    final = strategy.final_test(data)
    for split in strategy.splits(data):
        train, val, test, last = (data.times[rows] for rows in (split.train, split.val, split.test, final))
        assert train.max() + gap < val.min()
        assert val.max() + gap < test.min()
        assert test.max() + gap < last.min()


def test_a_sliding_window_has_one_length() -> None:
    data = some_data()
    lengths = {
        len(np.unique(data.times[np.concatenate([s.train, s.val])]))
        for s in TimeSeries(4, window=10).splits(data)
    }
    assert lengths == {10}


def test_the_dataset_s_own_test_rows_are_in_no_fold() -> None:
    own = np.arange(100, 120)
    data = some_data(test_rows=own)
    for strategy in (KFold(4, test_size=0.5), GroupKFold(4), LeaveOneOut(), Predefined()):
        assert strategy.final_test(data).tolist() == own.tolist()
        for split in strategy.splits(data):
            assert not np.isin(own, np.concatenate([split.train, split.val, split.test])).any()


def test_a_predefined_split_by_name() -> None:
    words = np.array(["train"] * 80 + ["val"] * 10 + ["test"] * 30)
    (split,) = Predefined().splits(some_data(parts=words))
    assert split.sizes == {"train": 80, "val": 10, "test": 30}
    data = some_data(parts=np.where(words == "val", "train", words), groups=None, times=None)
    (split,) = Predefined(val_size=0.1).splits(data)
    assert split.sizes == {"train": 81, "val": 9, "test": 30}


@pytest.mark.parametrize(
    ("strategy", "columns", "text"),
    [
        (GroupKFold(), {"groups": None}, "needs groups, and some has none"),
        (TimeSeries(), {"times": None}, "needs times, and some has none"),
        (Predefined(), {"parts": None}, "needs parts, and some has none"),
        (Predefined(), {"parts": np.array(["train", "tset"] * 60)}, "contains tset"),
        (Predefined(), {"parts": np.array(["val", "test"] * 60)}, "no training rows"),
        (KFold(1000), {}, "120 rows cannot be split"),
        (GroupKFold(50), {}, "cannot be split"),
        (KFold(3, repeats=2, shuffle=False), {}, "are all identical"),
        (
            KFold(3, stratify=True),
            {"y": np.linspace(0, 1, ROWS), "classes": (), "targets": ("y",)},
            "does not have one class per row",
        ),
        (KFold(2, val_size=0.999), {}, "no training rows are left"),
    ],
)
def test_impossible_splits_are_reported(strategy: Any, columns: dict[str, Any], text: str) -> None:
    fields = {**vars(some_data()), **columns}
    with pytest.raises(DataError, match=text):
        strategy.splits(Data(**fields))


def test_a_row_in_two_parts_is_rejected() -> None:
    with pytest.raises(ValueError, match="two parts"):
        Split(np.array([0, 1]), np.array([1]), np.array([2]))
