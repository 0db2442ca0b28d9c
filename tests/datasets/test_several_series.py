"""Several series in one file, and a later file that continues them: no window crosses series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.cross_validation.estimation import Estimation
from dlcli.datasets import series
from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.group_kfold import GroupKFold
from dlcli.splits.holdout import Holdout
from dlcli.splits.split import Split, check_overlap
from dlcli.splits.time_series import TimeSeries
from dlcli.tasks.facts import naive_error, naive_forecast

LOOKBACK, HORIZON = 6, 3
# First day and number of days of each shop.
SHOPS = {"Oslo": (0, 60), "Rome": (20, 40), "Bonn": (500, 30)}


def table(start: int = 0, stop: int = 60, shops: dict[str, tuple[int, int]] = SHOPS) -> pd.DataFrame:
    """Return daily sales of several shops, sorted by day; the value encodes shop and day."""
    rows = [
        {
            "shop": shop,
            "day": pd.Timestamp("2024-01-01") + pd.Timedelta(days=first + day),
            "sold": 1000.0 * number + day + (day % 7 == 0),
        }
        for number, (shop, (first, days)) in enumerate(shops.items())
        for day in range(start, min(stop, days))
    ]
    return pd.DataFrame(rows).sort_values("day", kind="stable")


def load(folder: Path, frame: pd.DataFrame, later: pd.DataFrame | None = None, **arguments: Any) -> Data:
    frame.to_csv(folder / "sales.csv", index=False)
    if later is not None:
        later.to_csv(folder / "later.csv", index=False)
        arguments["test_path"] = str(folder / "later.csv")
    windows = {"id": "shop", "lookback": LOOKBACK, "horizon": HORIZON}
    return series.load(str(folder / "sales.csv"), **{**windows, **arguments})


def days(data: Data, shop: str, rows: np.ndarray) -> set[int]:
    """Return the days that the rows of a shop forecast, counted from its first day."""
    mine = rows[data.groups[rows] == shop]
    times = data.y.times[data.y[mine].steps()]
    first = np.datetime64("2024-01-01") + np.timedelta64(SHOPS[shop][0], "D")
    return set(((times - first) // np.timedelta64(1, "D")).ravel().tolist())


def test_windows_do_not_cross_series(tmp_path: Path) -> None:
    data = load(tmp_path, table())
    counts = {shop: length - LOOKBACK - HORIZON + 1 for shop, (_, length) in SHOPS.items()}
    assert dict(zip(*np.unique(data.groups, return_counts=True), strict=True)) == counts
    assert data.x.columns == ("sold",)
    assert data.note == "windows of 3 series"
    past = data.x.values[data.x.origins[:, None] + np.arange(-LOOKBACK, 0), 0]
    for rows in (past, data.y.numpy()[:, :, 0]):
        assert (np.ptp(rows // 1000, axis=1) == 0).all()
    assert data.x.season == 7
    again = load(tmp_path, table().sort_values(["shop", "day"]))
    assert sorted(again.y.numpy()[:, 0, 0]) == sorted(data.y.numpy()[:, 0, 0])


def test_a_series_that_is_too_short_is_reported(tmp_path: Path) -> None:
    data = load(tmp_path, table(), lookback=30)
    (told,) = data.notices
    assert (data.note, told.count) == ("windows of 3 series", 1)
    assert told.text == "1 of 3 series is too short for a window, and left out: Bonn"
    with pytest.raises(DataError, match="60 steps are too few for a lookback of 90"):
        load(tmp_path, table(), lookback=90)


@pytest.mark.parametrize("shops", [SHOPS, {"Oslo": (0, 60)}], ids=["several", "one"])
def test_a_refit_trains_on_no_window_after_the_test(
    tmp_path: Path, shops: dict[str, tuple[int, int]]
) -> None:
    """Even if the borders end the test before the series."""
    data = load(tmp_path, table(shops=shops), borders=[15, 20, 26])
    config = {"cv": {"refit": True, "seeds": 1}, "trainer": {}, "seed": 0}
    estimation = Estimation(config, data, Holdout().splits(data), Holdout().final_test(data), ())
    assert estimation.refits_holdout
    whole = estimation.whole
    for shop in shops:
        trained, tested = days(data, shop, whole.train), days(data, shop, whole.test)
        assert max(trained) < min(tested)


@pytest.mark.parametrize("strategy", [Holdout(), TimeSeries(2, test_size=0.2)], ids=["holdout", "folds"])
def test_each_series_is_split_at_its_own_end(strategy: Any, tmp_path: Path) -> None:
    data = load(tmp_path, table())
    splits, final = strategy.splits(data), strategy.final_test(data)
    check_overlap(data, splits)
    for shop, (_, length) in SHOPS.items():
        assert max(days(data, shop, final)) == length - 1
        for split in splits:
            train, val, test = (days(data, shop, rows) for rows in (split.train, split.val, split.test))
            assert train and val and test
            assert max(train) < min(val) <= max(val) < min(test)


@pytest.mark.parametrize("strategy", [TimeSeries(4), TimeSeries(4, gap=2), TimeSeries(4, window=10)])
@pytest.mark.parametrize("more", range(6))
def test_a_series_too_short_for_all_folds_is_in_the_last_ones(
    more: int, strategy: TimeSeries, tmp_path: Path
) -> None:
    lengths = {**SHOPS, "Rome": (20, LOOKBACK + HORIZON + more)}
    data = load(tmp_path, table(shops=lengths))
    splits = strategy.splits(data)
    check_overlap(data, splits)
    held_out = [len(days(data, "Rome", split.test)) > 0 for split in splits]
    assert held_out == sorted(held_out)
    # The first window cannot be held out: there is no earlier one.
    assert sum(held_out) == min(4, max(0, more - strategy.gap))
    whole = [days(data, "Oslo", split.test) for split in splits]
    assert all(whole)


def test_complete_series_can_be_held_out(tmp_path: Path) -> None:
    data = load(tmp_path, table())
    splits = GroupKFold(3, val_size=0).splits(data)
    check_overlap(data, splits)
    assert sorted(set(data.groups[split.test]).pop() for split in splits) == sorted(SHOPS)


def test_statistics_depend_on_training_rows_only(tmp_path: Path) -> None:
    data = load(tmp_path, table())
    (split,) = Holdout().splits(data)
    train = data.x[split.train]
    steps = [
        1000.0 * number + day + (day % 7 == 0)
        for number, shop in enumerate(SHOPS)
        for day in range(max(days(data, shop, split.train)) + 1)
    ]
    mean, std = train.scale()
    assert mean == pytest.approx([np.mean(steps)])
    assert std == pytest.approx([np.std(steps)])


def test_naive_forecasts_use_their_own_series(tmp_path: Path) -> None:
    data = load(tmp_path, table())
    first = np.flatnonzero(data.groups == "Rome")[0]  # Oslo's steps precede it in the file and in memory
    assert naive_forecast(data.x)[first, :, 0].tolist() == [1005.0] * 3
    assert naive_forecast(data.x, 7)[first, :, 0].tolist() == [1005.0] * 3  # six days are less than a week
    assert naive_forecast(data.x, 7)[first + 1, :, 0].tolist() == [1001.0, 1001.0, 1002.0]
    assert naive_error(data.x).tolist() == [7.0]  # the weekly difference, without differences between shops


def test_a_later_file_defines_the_test(tmp_path: Path) -> None:
    shops = {"Oslo": (0, 60), "Rome": (20, 60)}
    data = load(tmp_path, table(0, 40, shops), table(40, 60, shops))
    (split,) = Holdout().splits(data)
    check_overlap(data, [split])
    assert split.test.tolist() == data.test_rows.tolist()
    for shop in shops:
        assert days(data, shop, split.test) == set(range(40, 60))  # its history is in the first file
        assert max(days(data, shop, np.concatenate([split.train, split.val]))) == 39
    alone = load(
        tmp_path,
        table(0, 40, {"Oslo": (0, 60)}),
        table(40, 60, {"Oslo": (0, 60)}),
        id=None,
        inputs=[],
        target="sold",
    )
    assert (alone.groups, len(alone.test_rows)) == (None, 20 - HORIZON + 1)


def test_a_later_file_after_a_gap_has_its_own_history(tmp_path: Path) -> None:
    shops = {"Oslo": (0, 60)}
    for missing in ("error", "forward"):
        data = load(tmp_path, table(0, 30, shops), table(41, 60, shops), missing=missing)
        assert len(data.x.values) == 49
        assert days(data, "Oslo", data.test_rows) == set(range(41 + LOOKBACK, 60))


def test_borders_are_common_times_or_steps_of_each_series(tmp_path: Path) -> None:
    dates = load(tmp_path, table(), borders=["2024-02-01", "2024-02-15"])
    assert days(dates, "Oslo", np.flatnonzero(dates.parts == "train")) == set(range(6, 31))
    assert set(dates.groups[dates.parts == "test"]) == set(SHOPS)
    assert set(dates.groups[dates.parts == "train"]) == {"Oslo", "Rome"}
    steps = load(tmp_path, table(), borders=[15, 22])
    for shop in SHOPS:
        assert days(steps, shop, np.flatnonzero(steps.parts == "val")) == set(range(15, 22))


def at(folder: Path, *, line: int, file: str = "sales.csv", column: str = "day") -> str:
    return f"{folder / file}:{line}, column {column}"


def test_invalid_series_are_reported(tmp_path: Path) -> None:
    shops = {"Oslo": (0, 60)}
    with pytest.raises(DataError, match=r"occurs twice.*\n.*distinguishes them: dataset\.id"):
        load(tmp_path, table(), id=None)
    gap = table().drop(index=table().index[9])
    with pytest.raises(DataError, match="comes after a gap") as caught:
        load(tmp_path, gap)
    assert caught.value.problems[0].where == at(tmp_path, line=11)
    slow = pd.concat([table(shops=shops), table(shops={"Rome": (0, 60)}).iloc[::2]])
    with pytest.raises(
        DataError, match="a step of 172800 seconds, but earlier series have 86400 seconds"
    ) as caught:
        load(tmp_path, slow)
    assert caught.value.problems[0].where == at(tmp_path, line=62)
    nameless = table().assign(shop=[None, *table().shop[1:]])
    with pytest.raises(DataError, match="a value is missing") as caught:
        load(tmp_path, nameless)
    assert caught.value.problems[0].where == at(tmp_path, line=2, column="shop")


def test_a_later_file_that_does_not_continue_is_rejected(tmp_path: Path) -> None:
    shops = {"Oslo": (0, 60)}
    with pytest.raises(DataError, match=r"comes before the end of sales\.csv, 2024-02-09") as caught:
        load(tmp_path, table(0, 40, shops), table(34, 60, shops))
    assert caught.value.problems[0].where == at(tmp_path, line=2, file="later.csv")
    with pytest.raises(DataError, match="no column shop"):
        load(tmp_path, table(0, 40, shops), table(40, 60, shops).drop(columns="shop"))
    with pytest.raises(DataError, match="column day: '0' is not a date"):
        load(tmp_path, table(0, 40, shops), table(40, 60, shops).assign(day=range(20)))
    with pytest.raises(DataError, match="no forecast of 3 steps lies in this file") as caught:
        load(tmp_path, table(0, 40, shops), table(40, 42, shops))
    assert caught.value.problems[0].where == str(tmp_path / "later.csv")
    with pytest.raises(DataError, match="the test is defined twice"):
        load(tmp_path, table(0, 40, shops), table(40, 60, shops), borders=[20, 30])


def test_a_split_by_series_needs_no_gap(tmp_path: Path) -> None:
    data = load(tmp_path, table())
    oslo = data.groups == "Oslo"
    check_overlap(data, [Split(np.flatnonzero(oslo), np.arange(0), np.flatnonzero(~oslo))])


def test_the_last_steps_of_each_series_may_be_the_test(tmp_path: Path) -> None:
    data = load(tmp_path, table(), test_steps=4)
    (split,) = Holdout().splits(data)
    check_overlap(data, [split])
    for shop, (_, length) in SHOPS.items():
        assert days(data, shop, data.test_rows) == set(range(length - 4, length))
        assert max(days(data, shop, np.setdiff1d(np.arange(len(data)), data.test_rows))) == length - 5
    with pytest.raises(DataError, match=r"dataset.test_steps: a forecast of 3 steps does not fit into 2"):
        load(tmp_path, table(), test_steps=2)
    with pytest.raises(DataError, match="the test is defined twice"):
        load(tmp_path, table(), test_steps=4, borders=[10, 20])


def test_a_stride_does_not_skip_the_test(tmp_path: Path) -> None:
    for stride in (2, 3, 5):
        data = load(tmp_path, table(), test_steps=HORIZON, stride=stride)
        assert data.note == "windows of 3 series"
        for shop, (_, length) in SHOPS.items():
            assert days(data, shop, data.test_rows) == set(range(length - HORIZON, length))
    shops = {"Oslo": (0, 60), "Rome": (20, 11), "Bonn": (500, 8)}
    data = load(tmp_path, table(shops=shops), test_steps=6)
    assert data.note == "windows of 3 series"
    assert [notice.text for notice in data.notices] == [
        "1 of 3 series is too short for a window, and left out: Bonn"
    ]
    later = table(40, 60)
    data = load(tmp_path, table(0, 40), later[later["shop"] == "Oslo"])
    assert data.note == "windows of 3 series; without a window in the test: Bonn, Rome"
