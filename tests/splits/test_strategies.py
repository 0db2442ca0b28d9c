"""Strategies: complete and disjoint parts, groups kept together, deterministic splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold as SkGroupKFold
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.group_kfold import GroupKFold
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold
from dlcli.splits.leave_one_out import LeaveOneOut
from dlcli.splits.nested import Nested
from dlcli.splits.predefined import Predefined
from dlcli.splits.shuffle_split import ShuffleSplit
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


# Constructed within the tests, so that mutation tests include the constructors.
STRATEGIES: list[tuple[type, dict[str, Any], int]] = [
    (Holdout, {}, 1),
    (KFold, {"folds": 5}, 5),
    (KFold, {"folds": 4, "stratify": True, "test_size": 0.1}, 4),
    (KFold, {"folds": 3, "repeats": 2}, 6),
    (KFold, {"folds": 3, "shuffle": False}, 3),
    (GroupKFold, {"folds": 4, "test_size": 0.2}, 4),
    (GroupKFold, {"folds": 3, "stratify": True}, 3),
    (GroupKFold, {"folds": None}, 12),
    (LeaveOneOut, {}, ROWS),
    (ShuffleSplit, {"folds": 7}, 7),
    (TimeSeries, {"folds": 4, "test_size": 0.1, "gap": 2}, 4),
    (TimeSeries, {"folds": 4, "window": 20}, 4),
    (Predefined, {}, 4),
    (Nested, {"folds": 4}, 4),
]
NAMES = [f"{kind.__name__}-{index}" for index, (kind, *_) in enumerate(STRATEGIES)]


@pytest.mark.parametrize(("kind", "arguments", "count"), STRATEGIES, ids=NAMES)
def test_splits_are_disjoint_complete_and_deterministic(
    kind: Any, arguments: dict[str, Any], count: int
) -> None:
    data, strategy = some_data(), kind(**arguments)
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
        (Predefined(), {"parts": np.full(ROWS, -1)}, "no fold holds out any row"),
    ],
)
def test_impossible_splits_are_reported(strategy: Any, columns: dict[str, Any], text: str) -> None:
    fields = {**vars(some_data()), **columns}
    with pytest.raises(DataError, match=text):
        strategy.splits(Data(**fields))


DRAWN: list[tuple[Any, dict[str, Any]]] = [
    (Holdout, {}),
    (KFold, {}),
    (KFold, {"repeats": 2}),
    (KFold, {"stratify": True}),
    (GroupKFold, {}),
    (GroupKFold, {"stratify": True}),
    (ShuffleSplit, {}),
    (ShuffleSplit, {"stratify": False}),
    (Nested, {}),
]


@pytest.mark.parametrize(("kind", "arguments"), DRAWN)
def test_held_out_and_validation_rows_depend_on_the_seed(kind: Any, arguments: dict[str, Any]) -> None:
    data = some_data(times=None, groups=some_data().groups if kind is GroupKFold else None)
    first, again, other = (kind(**arguments, seed=seed).splits(data) for seed in (3, 3, 4))
    assert [split.fingerprint for split in first] == [split.fingerprint for split in again]
    for part in ("val", "test"):
        assert [s.rows(part).tolist() for s in first] != [s.rows(part).tolist() for s in other]


@pytest.mark.parametrize("kind", [LeaveOneOut, Predefined])
def test_validation_rows_depend_on_the_seed(kind: Any) -> None:
    data = some_data(times=None, groups=None)
    first, again, other = (kind(seed=seed).splits(data)[0] for seed in (3, 3, 4))
    assert first.fingerprint == again.fingerprint
    assert first.test.tolist() == other.test.tolist()
    assert first.val.tolist() != other.val.tolist()


SHARES: list[tuple[Any, dict[str, Any], dict[str, int]]] = [
    (Holdout, {}, {"train": 82, "val": 14, "test": 24}),
    (Holdout, {"test_size": 0.5, "val_size": 0.25}, {"train": 45, "val": 15, "test": 60}),
    (KFold, {"folds": 4, "test_size": 0.2}, {"train": 61, "val": 11, "test": 24}),
    (LeaveOneOut, {"test_size": 0.2, "val_size": 0.2}, {"train": 76, "val": 19, "test": 1}),
    (ShuffleSplit, {"held_out": 0.25}, {"train": 76, "val": 14, "test": 30}),
    (ShuffleSplit, {"held_out": 0.5, "test_size": 0.5, "val_size": 0.2}, {"train": 24, "val": 6, "test": 30}),
    (Nested, {"folds": 4, "val_size": 0.1}, {"train": 81, "val": 9, "test": 30}),
]


@pytest.mark.parametrize(("kind", "arguments", "sizes"), SHARES)
def test_each_part_has_its_share(kind: Any, arguments: dict[str, Any], sizes: dict[str, int]) -> None:
    data, strategy = some_data(times=None, groups=None), kind(**arguments)
    expected = 24 if kind is Holdout else 0
    if "test_size" in arguments:
        expected = round(arguments["test_size"] * ROWS)
    assert len(strategy.final_test(data)) == expected
    for split in strategy.splits(data):
        assert split.sizes == sizes


STRATIFIED: list[tuple[Any, dict[str, Any]]] = [
    (Holdout, {}),
    (KFold, {"folds": 4, "stratify": True}),
    (KFold, {"folds": 4, "repeats": 3, "stratify": True}),
    (ShuffleSplit, {}),
    (Nested, {"folds": 4, "stratify": True}),
]


@pytest.mark.parametrize(("kind", "arguments"), STRATIFIED)
def test_stratified_parts_have_equal_class_shares(kind: Any, arguments: dict[str, Any]) -> None:
    """All three classes are equally frequent in each part, up to one row."""

    def largest_difference(strategy: Any) -> int:
        parts = [data.y[rows] for s in strategy.splits(data) for rows in (s.train, s.val, s.test)]
        return max(int(np.ptp(np.bincount(y, minlength=3))) for y in parts)

    data = some_data(times=None, groups=None)
    assert largest_difference(kind(**arguments)) <= 1
    assert largest_difference(kind(**{**arguments, "stratify": False})) > 1


@pytest.mark.parametrize("kind", [LeaveOneOut, Predefined])
def test_validation_rows_are_stratified(kind: Any) -> None:
    data = some_data(times=None, groups=None)
    if kind is Predefined:
        data = some_data(times=None, groups=None, parts=np.arange(ROWS) // 3 % 4)
    for split in kind(val_size=0.1).splits(data):
        assert np.ptp(np.bincount(data.y[split.val], minlength=3)) <= 1


def test_stratified_groups_are_those_of_scikit_learn() -> None:
    y = np.random.default_rng(1).choice(3, ROWS, p=[0.6, 0.3, 0.1])
    data = replace(some_data(), y=y)
    codes = np.unique(data.groups, return_inverse=True)[1]
    for stratify, theirs in ((True, StratifiedGroupKFold), (False, SkGroupKFold)):
        expected = theirs(4, shuffle=True, random_state=2).split(data.y, data.y, codes)
        ours = GroupKFold(4, stratify=stratify, seed=2).splits(data)
        assert [split.test.tolist() for split in ours] == [test.tolist() for _, test in expected]


def test_only_stratified_group_folds_need_classes() -> None:
    numbers = {"y": np.linspace(0, 1, ROWS), "classes": (), "targets": ("y",)}
    data = Data(**{**vars(some_data()), **numbers})
    assert len(GroupKFold(4).splits(data)) == 4
    with pytest.raises(DataError, match="does not have one class per row"):
        GroupKFold(4, stratify=True).splits(data)
    assert ShuffleSplit(3).splits(data)[0].sizes == {"train": 82, "val": 14, "test": 24}


@pytest.mark.parametrize("strategy", [KFold, GroupKFold, Nested])
def test_a_class_with_fewer_rows_than_folds_gives_no_warning(strategy: Any) -> None:
    y = np.where(np.arange(ROWS) < 3, 2, np.arange(ROWS) % 2)
    data = replace(some_data(), y=y)
    splits = strategy(5, stratify=True).splits(data)
    assert sum((data.y[split.test] == 2).sum() for split in splits) == 3


def test_inner_folds_consist_of_the_rows_that_are_not_held_out() -> None:
    data = some_data(times=None, groups=None)
    nested = Nested(4, inner_folds=3, space={"model.hidden": [1, 2]}, trials=7, search="random")
    assert (nested.space, nested.trials, nested.search) == ({"model.hidden": [1, 2]}, 7, "random")
    assert Nested().space == {}
    assert len(Nested().splits(data)) == 5
    for outer in nested.splits(data):
        inner = nested.inner_splits(data, outer)
        assert len(inner) == 3
        assert sorted(np.concatenate([split.test for split in inner])) == sorted(
            np.concatenate([outer.train, outer.val])
        )
        for split in inner:
            assert len(split.val) == 0
            assert len(split.train) + len(split.test) == ROWS - len(outer.test)


def test_inner_folds_use_the_seed_and_are_stratified() -> None:
    data = some_data(times=None, groups=None)
    (outer, *_) = Nested(4).splits(data)
    first, other = (Nested(4, seed=seed).inner_splits(data, outer)[0].test.tolist() for seed in (0, 1))
    assert first != other
    for split in Nested(4, stratify=True).inner_splits(data, outer):
        assert np.ptp(np.bincount(data.y[split.test])) <= 2


def test_predefined_folds_are_those_of_the_column() -> None:
    parts = np.arange(ROWS) % 4 - 1
    splits = Predefined(val_size=0).splits(some_data(parts=parts))
    for number, split in enumerate(splits):
        assert split.test.tolist() == np.flatnonzero(parts == number).tolist()
        assert split.train.tolist() == np.flatnonzero(parts != number).tolist()
    only_zero = np.where(parts == 0, 0, -1)
    (split,) = Predefined(val_size=0).splits(some_data(parts=only_zero))
    assert split.test.tolist() == np.flatnonzero(only_zero == 0).tolist()


def test_the_final_test_of_predefined_parts() -> None:
    words = np.array(["train"] * 80 + ["val"] * 10 + ["test"] * 30)
    assert Predefined().final_test(some_data(parts=words)).tolist() == list(range(90, 120))
    assert len(Predefined().final_test(some_data())) == 0
    own = some_data(test_rows=np.array([5, 3, 9]))
    assert Predefined().final_test(own).tolist() == [3, 5, 9]


def test_training_rows_precede_each_held_out_period() -> None:
    """Four folds hold out 12 of 60 points in time each and train on all points before, or on the last 20 of them."""
    data = some_data()
    for window, gap in ((None, 0), (20, 0), (None, 3), (20, 3)):
        splits = TimeSeries(4, window=window, gap=gap, val_size=0).splits(data)
        for number, split in enumerate(splits):
            start = 12 * (number + 1)
            past = list(range(start - gap))
            assert np.unique(data.times[split.test]).tolist() == list(range(start, start + 12))
            assert np.unique(data.times[split.train]).tolist() == (past[-window:] if window else past)


def test_targets_without_one_class_per_row_are_not_stratified() -> None:
    with pytest.raises(
        DataError, match=r"does not have one class per row to stratify by\n  Choose cv=kfold\."
    ):
        KFold(stratify=True).splits(
            replace(some_data(), y=np.arange(ROWS, dtype=np.float64), classes=(), targets=("y",))
        )


def test_the_seed_of_rows_is_0_by_default() -> None:
    assert [make() == make(seed=0) for make in (KFold, LeaveOneOut, GroupKFold, ShuffleSplit, Holdout)] == [
        True
    ] * 5
