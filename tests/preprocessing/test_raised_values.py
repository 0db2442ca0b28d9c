"""Windows with values that are raised for the logarithm are counted, as the network raises them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.windows import History, Stretches
from dlcli.preprocessing.model_windows import ModelWindows
from dlcli.preprocessing.raised_values import count_raised
from dlcli.preprocessing.series import Series

HORIZON = 2
VALUES = st.sampled_from([-3.0, -1e-4, 0.0, 1e-4, 0.5, 1.0, 7.0, 5000.0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(VALUES, VALUES), min_size=24, max_size=30),
    st.integers(2, 6),
    st.booleans(),
    st.data(),
)
def test_windows_whose_logarithms_are_bounded_are_counted(
    values: list[tuple[float, float]], lookback: int, padded: bool, drawn: st.DataObject
) -> None:
    steps, second = np.array(values), 12
    least = drawn.draw(st.integers(1, lookback - 1)) if padded else lookback
    origins = np.concatenate(
        [np.arange(begin + least, end - HORIZON + 1) for begin, end in ((0, second), (second, len(steps)))]
    )
    x = History(
        steps, origins, HORIZON, ("a", "b"), lookback, targets=2, min_lookback=least if padded else None,
        stretches=Stretches(np.array([0, second]), ("u", "w"), "id"),
    )  # fmt: skip
    module = ModelWindows(lookback, HORIZON, 2, 0, "none", scale_of=([0.0, 0.0], [1.0, 1.0]), padded=padded)
    raised = negative = 0
    for first, origin in zip(x.first_steps(), origins, strict=True):
        window = torch.full((1, lookback, 2), torch.nan)
        window[0, lookback - (origin - first) :] = torch.tensor(steps[first:origin])
        own = module(window)[0, lookback - (origin - first) :].exp().numpy()
        bounded = ~np.isclose(own, steps[first:origin], rtol=1e-5, atol=0)
        raised += bounded.any()
        negative += (steps[first:origin] < 0).any()
    assert count_raised(x) == {
        "windows": len(x),
        "raised_windows": raised,
        "negative_windows": negative,
    }


def history(values: list[float]) -> History:
    return History(np.array(values)[:, None], np.arange(4, len(values) - 1), HORIZON, ("a",), 4, targets=1)


def test_zeros_of_training_windows_are_reported() -> None:
    fitted = Series(log=True).fit(history([5, 6, 7, 8, 9, 0, 7, 8, 6, 7, 8, 9]))
    (notice,) = fitted.notices()
    assert not notice.warns
    assert notice.text == (
        "4 of 7 training windows have values below a thousandth of their mean, which are raised to it for the logarithm"
    )
    assert not Series(log=True).fit(history([5, 6, 7, 8, 9, 9, 7, 8])).notices()
    assert not Series().fit(history([5, 6, 7, 0, -9, 9, 7, 8])).notices()


@pytest.mark.parametrize("known", [0, 1])
def test_new_rows_with_negative_values_are_a_warning(known: int) -> None:
    steps = np.column_stack([np.arange(1.0, 13), np.arange(12) % 2])
    x = History(steps, np.arange(4, 11), HORIZON, ("a", "b"), 4, targets=1, known=known)
    fitted = Series(log=True).fit(x)
    new = np.array([[3, 0], [-1, 1], [4, 0], [5, 1], *[[np.nan, 1]] * (HORIZON if known else 0)])
    (notice,) = fitted.notices_of_new(fitted.transform_and_count(new)[1])
    assert notice.warns
    assert notice.text.startswith(
        "1 of 1 windows have values below a thousandth of their mean (negative ones in 1)"
    )
    # The column that is not forecast has no logarithm.
    assert not fitted.notices_of_new(fitted.transform_and_count(np.abs(new))[1])
