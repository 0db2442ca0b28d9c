"""Overlap of forecasts between the parts of a split; drawing, limiting and loading rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcli.cross_validation.estimation import Estimation
from dlcli.datasets.data import Data
from dlcli.datasets.windows import History, Windows
from dlcli.errors import CorruptRun, DataError
from dlcli.experiment import plan_experiment
from dlcli.splits.carving import _merge_single, by_default, carve, each_series, make_splits
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold
from dlcli.splits.predefined import Predefined
from dlcli.splits.shuffle_split import ShuffleSplit
from dlcli.splits.split import (
    Split,
    check_overlap,
    goes_forward,
    in_time,
    limit_splits,
    thin_rows,
    without_overlap,
)
from dlcli.splits.time_series import TimeSeries

STEPS, LOOKBACK, HORIZON = 200, 10, 7

IN_TIME = {
    "holdout": Holdout(),
    "expanding": TimeSeries(4, test_size=0.1),
    "sliding": TimeSeries(3, window=20, gap=2),
}


def a_series(stride: int = 1, **columns: Any) -> Data:
    values = np.arange(STEPS, dtype=float)[:, None]
    origins = np.arange(LOOKBACK, STEPS - HORIZON + 1, stride)
    return Data(
        "some",
        "sequence",
        History(values, origins, HORIZON, ("a",), LOOKBACK, targets=1),
        Windows(values, origins, HORIZON, np.arange(STEPS)),
        targets=("a",),
        times=origins,
        reach=HORIZON - 1,
        **columns,
    )


def forecast(data: Data, rows: np.ndarray) -> set[int]:
    return set(data.y[rows].steps().ravel().tolist())


@pytest.mark.parametrize("stride", [1, 3, 10])
@pytest.mark.parametrize("name", IN_TIME)
def test_no_step_is_forecast_in_two_parts(name: str, stride: int) -> None:
    data, strategy = a_series(stride), IN_TIME[name]
    splits, final = strategy.splits(data), strategy.final_test(data)
    check_overlap(data, splits)
    for split in splits:
        parts = [forecast(data, split.rows(part)) for part in ("train", "val", "test")]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert max(parts[0]) < min(parts[1]) <= max(parts[1]) < min(parts[2])
        if name != "holdout":
            assert not forecast(data, final) & set.union(*parts)


def test_no_unnecessary_rows_are_left_out() -> None:
    (split,) = Holdout(test_size=0.2, val_size=0.2).splits(a_series())
    assert split.val.min() - split.train.max() == HORIZON
    assert split.test.min() - split.val.max() == HORIZON
    (split,) = Holdout().splits(a_series(stride=HORIZON))
    assert split.val.min() - split.train.max() == 1


@pytest.mark.parametrize(
    "strategy", [KFold(4), KFold(4, shuffle=False), ShuffleSplit(2)], ids=["1", "2", "3"]
)
def test_a_split_with_overlapping_forecasts_is_rejected(strategy: Any) -> None:
    data = a_series()
    with pytest.raises(DataError, match=r"in train and in val forecast the same steps\n.*cv=time_series"):
        check_overlap(data, strategy.splits(data))
    check_overlap(a_series(stride=HORIZON), strategy.splits(a_series(stride=HORIZON)))


def test_a_search_in_folds_that_overlap_is_led_to_a_sweep(tmp_path: Path) -> None:
    lines = "".join(f"{name},{step},{step % 7}\n" for name in "uvwxyz" for step in range(60))
    (tmp_path / "s.csv").write_text(f"id,t,v\n{lines}")
    words = ["dataset=series", f"dataset.path={tmp_path}/s.csv", "dataset.id=id", "dataset.time=t"]
    words += ["dataset.horizon=4", "dataset.lookback=8"]
    with pytest.raises(DataError, match="in train and in val forecast the same steps") as raised:
        plan_experiment([*words, "cv=nested", "cv.space={model.hidden: [4, 8]}"])
    (problem,) = raised.value.problems
    assert problem.hint == (
        "Split a series in time: choose cv=holdout or cv=time_series, or hold out whole series: cv=group_kfold. "
        "Search with one of them: dlcli sweep."
    )
    for option in re.findall(r"cv=\w+", problem.hint):
        plan_experiment([*words, option])


def test_predefined_parts_are_checked_too() -> None:
    parts = np.repeat(["train", "test"], [100, 84])
    with pytest.raises(DataError, match="in train and in test"):
        check_overlap(a_series(parts=parts), Predefined(val_size=0).splits(a_series(parts=parts)))
    own = a_series(test_rows=np.arange(150, 184))
    (split,) = Holdout().splits(own)
    with pytest.raises(DataError, match="in val and in test"):
        check_overlap(own, [split])


def test_a_refitted_model_is_not_trained_on_the_final_test() -> None:
    data, strategy = a_series(), TimeSeries(3, test_size=0.2)
    final = strategy.final_test(data)
    estimation = Estimation({"trainer": {}, "cv": {"refit": True}}, data, strategy.splits(data), final, ())
    assert max(forecast(data, estimation.whole.train)) == min(forecast(data, final)) - 1


@pytest.mark.parametrize("reach", [0, 1, 6])
@pytest.mark.parametrize("seed", range(5))
def test_rows_without_overlap_share_no_step_with_other_rows(seed: int, reach: int) -> None:
    random = np.random.default_rng(seed)
    times = random.permutation(60)[:20]
    data = Data("some", "sequence", times, times, targets=("a",), times=times, reach=reach)
    rows, others = np.split(random.permutation(20), [12])

    def steps(row: int) -> set[int]:
        return set(range(times[row], times[row] + reach + 1))

    taken = set().union(*(steps(other) for other in others))
    expected = [row for row in rows if not steps(row) & taken]
    assert without_overlap(data, rows, others).tolist() == expected
    assert without_overlap(data, rows, others[:0]).tolist() == rows.tolist()


def test_rows_of_data_without_windows_never_overlap() -> None:
    data = Data("some", "sequence", np.zeros(6), np.zeros(6), targets=("a",), times=np.zeros(6, dtype=int))
    rows, others = np.arange(3), np.arange(3, 6)
    assert without_overlap(data, rows, others).tolist() == [0, 1, 2]


def test_parts_that_share_a_point_in_time_are_not_in_temporal_order() -> None:
    split = Split(np.array([0, 1]), np.array([2]), np.array([3]))
    for times, expected in (
        ([1, 2, 3, 4], True),
        ([2, 1, 3, 4], True),
        ([1, 3, 3, 4], False),
        ([1, 2, 3, 3], False),
        ([1, 2, 4, 3], False),
    ):
        assert goes_forward(np.array(times), split) is expected
    without_validation = Split(np.array([0, 1]), np.array([], dtype=int), np.array([2, 3]))
    assert goes_forward(np.array([1, 2, 3, 4]), without_validation)
    assert not goes_forward(np.array([1, 3, 3, 4]), without_validation)
    assert not in_time(Data("some", "sequence", np.zeros(4), np.zeros(4), targets=("a",)), split)


def test_each_series_has_its_rows_in_their_order() -> None:
    groups = np.array(["b", "a", "c", "a", "b", "a"], dtype=object)
    data = Data("some", "sequence", np.zeros(6), np.zeros(6), targets=("a",), groups=groups, reach=1)
    assert [part.tolist() for part in each_series(data, np.arange(6))] == [[1, 3, 5], [0, 4], [2]]
    assert [part.tolist() for part in each_series(data, np.array([4, 0, 3]))] == [[3], [4, 0]]
    assert [part.tolist() for part in each_series(data, np.arange(0))] == [[]]
    no_series = Data("some", "sequence", np.zeros(6), np.zeros(6), targets=("a",), groups=groups)
    assert [part.tolist() for part in each_series(no_series, np.arange(6))] == [list(range(6))]
    many = Data(
        "some", "sequence", np.zeros(600), np.zeros(600), targets=("a",), groups=np.arange(600) % 3, reach=1
    )
    for part in each_series(many, np.arange(600)):
        assert (np.diff(part) == 3).all()


@pytest.mark.parametrize("size", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("labels", [[6, 5, 9], [10, 9, 1], [9, 9, 1, 1], [2, 2, 16], [4, 3, 3]])
def test_a_drawn_share_keeps_the_shares_of_the_classes(labels: list[int], size: float) -> None:
    """Classes with a single row may be in either part."""
    classes = np.repeat(np.arange(len(labels)), labels)
    rows = np.arange(len(classes))
    for seed in range(5):
        rest, drawn = carve(rows, size, seed=seed, labels=classes)
        count = round(size * len(rows))
        assert sorted([*rest, *drawn]) == rows.tolist()
        assert (rest.tolist(), drawn.tolist()) == (sorted(rest), sorted(drawn))
        assert len(drawn) == count
        if min(count, len(rows) - count) >= len(labels):
            shares = np.bincount(classes[drawn], minlength=len(labels)) / np.array(labels)
            frequent = np.array(labels) > 1
            slack = (1 + (np.array(labels) == 1).sum()) / np.array(labels)
            assert (np.abs(shares - size) <= slack + 1e-9)[frequent].all()


def test_a_class_of_one_row_counts_as_rows_of_the_largest_class() -> None:
    """The other classes keep their shares."""
    classes = np.repeat([0, 1, 2], [10, 10, 1])
    for seed in range(20):
        _, drawn = carve(np.arange(21), 10 / 21, seed=seed, labels=classes)
        assert (classes[drawn] == 1).sum() in (4, 5)


def test_only_classes_of_one_row_are_merged() -> None:
    codes = np.array([0, 0, 0, 1, 1, 2])
    assert _merge_single(codes, np.bincount(codes)).tolist() == [0, 0, 0, 1, 1, 0]


def test_a_part_with_as_many_rows_as_classes_has_one_of_each() -> None:
    classes = np.repeat([0, 1, 2], 4)
    for seed in range(10):
        for size in (3 / 12, 9 / 12):
            parts = carve(np.arange(12), size, seed=seed, labels=classes)
            smaller = min(parts, key=len)
            assert sorted(classes[smaller]) == [0, 1, 2]


def test_labels_are_those_of_the_given_rows() -> None:
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    rows = np.array([11, 0, 1, 10, 9, 2, 8, 3])
    for seed in range(5):
        rest, drawn = carve(rows, 0.5, seed=seed, labels=classes)
        assert np.bincount(classes[drawn], minlength=3).tolist() == [2, 0, 2]
        assert sorted([*rest, *drawn]) == sorted(rows)


def test_thinned_rows_are_evenly_spaced() -> None:
    rows = np.arange(100, 111)
    assert thin_rows(rows, 3).tolist() == [100, 105, 110]
    assert thin_rows(rows, 6).tolist() == [100, 102, 104, 106, 108, 110]
    assert thin_rows(rows, 1).tolist() == [100]
    assert thin_rows(rows, 10).dtype == rows.dtype
    assert len(set(thin_rows(rows, 10))) == 10
    for most in (None, 0, 11, 12):
        assert thin_rows(rows, most).tolist() == rows.tolist()


def test_limits_of_rows_and_folds() -> None:
    splits = [Split(np.arange(6), np.arange(6, 8), np.arange(8, 12)) for _ in range(3)]
    assert limit_splits(splits, None, None) == splits
    assert limit_splits(splits, None, 2) == splits[:2]
    assert limit_splits(splits, None, 9) == splits
    for folds, count in ((None, 3), (1, 1)):
        limited = limit_splits(splits, 2, folds)
        assert len(limited) == count
        for split in limited:
            assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == (
                [0, 5],
                [6, 7],
                [8, 11],
            )


def saved(folder: Path, **parts: Any) -> Path:
    np.savez(folder / "split.npz", **parts)
    return folder / "split.npz"


def test_the_file_of_a_split_is_checked(tmp_path: Path) -> None:
    whole = {"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([3])}
    assert Split.load(saved(tmp_path, **whole)).sizes == {"train": 2, "val": 1, "test": 1}
    assert Split.load(tmp_path / "split.npz", rows=4).test.tolist() == [3]
    small = {name: part.astype(np.int8) for name, part in whole.items()}
    assert Split.load(saved(tmp_path, **small), rows=4).train.dtype == np.int64
    nothing = {name: np.arange(0) for name in whole}
    assert Split.load(saved(tmp_path, **nothing), rows=0).sizes == {"train": 0, "val": 0, "test": 0}
    damaged: list[tuple[dict[str, Any], int | None]] = [
        (whole, 3),
        ({**whole, "val": np.array([-1])}, None),
        ({**whole, "val": np.array([-1])}, 4),
        ({**whole, "val": np.array([2.0])}, 4),
        ({**whole, "val": np.array([[2]])}, 4),
        ({**whole, "val": np.array([True])}, 4),
        ({**whole, "val": np.array([1])}, 4),
        ({**whole, "train": np.array([0, 1, 0, 1])}, 5),
        ({**whole, "val": np.array([2], dtype=object)}, 4),
        ({"train": whole["train"], "val": whole["val"]}, 4),
    ]
    for parts, rows in damaged:
        with pytest.raises(CorruptRun, match="split"):
            Split.load(saved(tmp_path, **parts), rows)
    with pytest.raises(CorruptRun, match="has 4 rows, more than it can have"):  # found before rows are read
        Split.load(saved(tmp_path, **whole), 3)
    (tmp_path / "split.npz").unlink()
    with pytest.raises(CorruptRun, match="is missing") as missing:
        Split.load(tmp_path / "split.npz")
    assert missing.value.problems[0].where == str(tmp_path / "split.npz")


def test_loading_a_split_does_not_unpickle(tmp_path: Path) -> None:
    class Loud:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    whole = {"train": np.array([0]), "val": np.array([Loud()], dtype=object), "test": np.array([2])}
    with pytest.raises(CorruptRun):
        Split.load(saved(tmp_path, **whole))
    assert not (tmp_path / "ran").exists()


def test_the_datasets_own_validation_rows_are_the_validation_rows() -> None:
    y = np.zeros(20, dtype=np.int64)
    data = Data(
        "some", "sequence", y, y, ("a", "b"), val_rows=np.array([4, 2, 9]), test_rows=np.array([7, 1])
    )
    (split,) = Holdout(val_size=0.5).splits(data)
    assert (split.val.tolist(), split.test.tolist()) == ([2, 4, 9], [1, 7])
    assert sorted(split.train) == sorted(set(range(20)) - {1, 2, 4, 7, 9})


def test_held_out_rows_are_positions_among_the_rows() -> None:
    rows = np.array([10, 20, 30, 40])
    carver = by_default(Data("some", "sequence", np.zeros(50), np.zeros(50), targets=("a",)), 0)
    (split,) = make_splits([(np.array([0, 3]), np.array([2, 1]))], rows, 0.5, carver)
    assert sorted([*split.train, *split.val]) == [10, 40]
    assert split.test.tolist() == [20, 30]


@pytest.mark.parametrize("size", [0.1, 0.5, 0.8])
def test_carved_rows_are_in_order_and_each_row_is_in_one_part(size: float) -> None:
    rows = np.random.default_rng(0).permutation(500)[:200]
    rest, drawn = carve(rows, size, seed=1)
    assert (np.diff(rest) > 0).all() and (np.diff(drawn) > 0).all()
    assert len(drawn) == 200 * size
    assert sorted([*rest, *drawn]) == sorted(rows)
