from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dlcli.datasets.bundled import digits, iris
from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import by_group, by_time, carve
from dlcli.splits.holdout import Holdout
from dlcli.splits.split import Split, in_time


def some_data(y: list[int], test_rows: np.ndarray | None = None) -> Data:
    codes = np.array(y, dtype=np.int64)
    classes = tuple(str(code) for code in range(max(y) + 1))
    return Data("some", "sequence", np.zeros((len(y), 3, 1), np.float32), codes, classes, test_rows=test_rows)


def test_every_row_is_in_exactly_one_part() -> None:
    (split,) = Holdout().splits(digits())
    rows = np.concatenate([split.train, split.val, split.test])
    assert sorted(rows) == list(range(1797))
    assert split.sizes == {"train": 1222, "val": 216, "test": 359}


def test_classes_keep_their_shares() -> None:
    data = iris()
    (split,) = Holdout().splits(data)
    for part in (split.train, split.val, split.test):
        counts = np.bincount(data.y[part])
        assert counts.max() - counts.min() <= 1


def test_the_datasets_own_test_rows_are_the_test_rows() -> None:
    data = some_data([0, 1] * 50, test_rows=np.arange(80, 100))
    (split,) = Holdout(test_size=0.5).splits(data)
    assert list(split.test) == list(range(80, 100))
    assert max(split.train.max(), split.val.max()) < 80


def test_the_seed_of_the_split_decides() -> None:
    data = digits()
    first, again, other = (Holdout(seed=seed).splits(data)[0].fingerprint for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_with_one_row_can_be_split() -> None:
    (split,) = Holdout().splits(some_data([0] * 30 + [1] * 30 + [2]))
    assert sum(split.sizes.values()) == 61


def test_tiny_data_is_split_without_strata() -> None:
    (split,) = Holdout(test_size=0.34, val_size=0.5).splits(some_data([0, 1, 2]))
    assert split.sizes == {"train": 1, "val": 1, "test": 1}


def test_a_split_without_training_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="no training rows are left of 1"):
        Holdout(test_size=0.9).splits(some_data([0]))


def test_carving_nothing_leaves_all() -> None:
    rest, drawn = carve(np.array([3, 1, 2]), 0.0, seed=0)
    assert list(rest) == [1, 2, 3]
    assert len(drawn) == 0


def test_a_row_in_two_parts_is_rejected() -> None:
    with pytest.raises(ValueError, match="row 1 is in train and in val; a split has each row once"):
        Split(np.array([0, 1]), np.array([1]), np.array([2]))


def test_a_split_is_restored_from_its_file(tmp_path) -> None:
    (split,) = Holdout().splits(digits())
    (tmp_path / "split.npz").write_bytes(split.to_bytes())
    assert Split.load(tmp_path / "split.npz").fingerprint == split.fingerprint


def timed(**columns: np.ndarray) -> Data:
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 5))
    return replace(some_data([0, 1] * 50), times=times, **columns)


def test_rows_with_times_are_split_between_points_in_time() -> None:
    data = timed()
    (split,) = Holdout().splits(data)
    assert [sorted(set(data.times[split.rows(part)])) for part in ("train", "val", "test")] == [
        list(range(14)),
        [14, 15],
        [16, 17, 18, 19],
    ]
    assert in_time(data, split)
    assert list(Holdout().final_test(data)) == list(split.test)


def test_own_test_rows_are_kept_and_the_latest_others_validate() -> None:
    data = timed(test_rows=np.arange(10))
    (split,) = Holdout().splits(data)
    assert list(split.test) == list(range(10))
    assert data.times[split.train].max() < data.times[split.val].min()


def test_groups_take_precedence_over_times_and_by_time_overrides() -> None:
    data = timed()
    (drawn,) = Holdout(by_time=False).splits(data)
    assert drawn.fingerprint == Holdout().splits(replace(data, times=None))[0].fingerprint
    assert not in_time(data, drawn)
    grouped = timed(groups=np.arange(100) // 10)
    (whole,) = Holdout().splits(grouped)
    assert not set(grouped.groups[whole.train]) & set(grouped.groups[whole.test])
    assert in_time(grouped, Holdout(by_time=True).splits(grouped)[0])


def test_a_split_in_time_needs_times_and_windows_are_never_drawn() -> None:
    with pytest.raises(DataError, match="has none"):
        Holdout(by_time=True).splits(some_data([0, 1] * 9))
    with pytest.raises(DataError, match="would be in two parts"):
        Holdout(by_time=False).splits(timed(reach=1))


def test_a_single_group_cannot_be_divided() -> None:
    data = replace(some_data([0, 1] * 9), groups=np.repeat(["a", "b"], 9))
    with pytest.raises(DataError, match=r"9 rows of one group, [ab], are left"):
        Holdout().splits(data)


def test_a_small_share_is_at_least_one_group_or_point_in_time() -> None:
    rows, groups = np.arange(20), np.repeat(np.arange(5), 4)
    _, aside = by_group(groups, 0)(rows, 0.01)
    assert len(aside) == 4
    assert len(set(groups[aside])) == 1
    data = replace(some_data([0, 1] * 10), times=np.repeat(np.arange(10), 2))
    _, aside = by_time(data)(rows, 0.01)
    assert list(aside) == [18, 19]
    for carver in (by_group(groups, 0), by_time(data)):
        assert [len(part) for part in carver(rows, 0)] == [20, 0]
        assert [len(part) for part in carver(rows, 0.99)] == [0, 20]
