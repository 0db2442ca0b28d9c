"""Windows of a series: no step is forecast in two parts of a split, whatever the strategy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlcli.cross_validation.estimation import Estimation
from dlcli.datasets.data import Data
from dlcli.datasets.windows import History, Windows
from dlcli.errors import DataError
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold
from dlcli.splits.predefined import Predefined
from dlcli.splits.shuffle_split import ShuffleSplit
from dlcli.splits.split import check_overlap
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
        History(values, ("a",), origins, LOOKBACK, HORIZON, targets=1),
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
    estimation = Estimation({"trainer": {}}, data, strategy.splits(data), final, ())
    assert max(forecast(data, estimation.whole.train)) == min(forecast(data, final)) - 1
