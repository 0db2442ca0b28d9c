"""Windows that begin before their series: nothing stands for the missing steps, and no statistic counts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.windows import History, Stretches
from dlcli.errors import DataError
from dlcli.preprocessing.model_windows import ModelWindows
from dlcli.preprocessing.series import Series

LOOKBACK, LEAST, HORIZON, SEASON = 16, 3, 2, 4
BEGINS = np.array([0, 24])


def history(known: int = 0, min_lookback: int | None = LEAST) -> History:
    """Return two columns of two series with 24 and 12 steps, of which the second is shorter than a lookback."""
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 9, size=(36, 3)) + 5 * np.sin(np.arange(36) * 2 * np.pi / SEASON)[:, None] ** 2
    origins = np.concatenate([np.arange(LEAST, 23), np.arange(24 + LEAST, 35)])
    stretches = Stretches(BEGINS, ("a", "b"), "id")
    columns = ("x", "y", "z")
    return History(
        values, origins, HORIZON, columns, LOOKBACK, 2, known, SEASON, min_lookback, stretches=stretches
    )


@pytest.mark.parametrize("known", [0, 1])
def test_a_window_has_its_own_series_only(known: int) -> None:
    some = history(known)
    fitted = Series().fit(some)
    for rows in (slice(None), slice(25, None)):
        field, own = fitted.transform(some[rows])["x"], some[rows]
        x = field[:]
        chosen = field.index_select(0, torch.arange(len(own)))
        torch.testing.assert_close(chosen, x, rtol=0, atol=0, equal_nan=True)
        scaled = torch.tensor((own.values - fitted.mean_) / fitted.std_).float()
        for window, origin, steps in zip(x, own.origins, own.lengths(), strict=True):
            assert steps == min(LOOKBACK, origin - BEGINS[int(origin >= 24)])
            assert window[: LOOKBACK - steps].isnan().all()
            torch.testing.assert_close(window[LOOKBACK - steps : LOOKBACK], scaled[origin - steps : origin])
            assert not window[LOOKBACK:].isnan().any()


def test_each_step_counts_once_in_the_scale_and_no_other_series_does() -> None:
    some = history()[20:22]  # the first windows of the second series
    assert np.flatnonzero(some.covered()).tolist() == list(range(24, 24 + LEAST + 1 + HORIZON))
    fitted = Series().fit(some)
    assert np.allclose(fitted.mean_, some.values[24 : 24 + LEAST + 1 + HORIZON].mean(axis=0))


@given(
    steps=st.integers(LEAST, LOOKBACK),
    relative=st.sampled_from(["none", "last", "revin"]),
    log=st.booleans(),
    deseasonalize=st.booleans(),
    recent=st.sampled_from([None, 2, 6]),
    independent=st.booleans(),
    known=st.integers(0, 1),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_padded_window_is_treated_as_one_of_its_length(
    steps: int,
    relative: Any,
    log: bool,
    deseasonalize: bool,
    recent: int | None,
    independent: bool,
    known: int,
    seed: int,
) -> None:
    """The model receives the same steps after zeros, and its outputs are restored in the same way."""
    torch.manual_seed(seed)
    scale = ([3.0, 40.0], [1.0, 8.0]) if log else None

    def windows(lookback: int, **options: Any) -> ModelWindows:
        season = SEASON if deseasonalize and lookback >= 3 * SEASON else None
        last = None if recent is None else min(recent, lookback)
        return ModelWindows(
            lookback, HORIZON, 2, known, relative, independent, scale, season, last, **options
        )

    complete = torch.rand(5, steps + (HORIZON if known else 0), 3) * 4 - 2
    complete[:, steps:, : 3 - known] = 0
    x = torch.cat([torch.full((5, LOOKBACK - steps, 3), torch.nan), complete], dim=1)
    padded, plain = windows(LOOKBACK, padded=True), windows(steps)
    seen, wanted = padded(x), plain(complete)
    zeros = seen.shape[1] - wanted.shape[1]
    assert zeros == (min(recent or LOOKBACK, LOOKBACK) - min(recent or steps, steps))
    assert (seen[:, :zeros] == 0).all()
    torch.testing.assert_close(seen[:, zeros:], wanted, atol=1e-4, rtol=1e-4)
    outputs = torch.randn(5 * (2 if independent else 1), HORIZON * (1 if independent else 2))
    torch.testing.assert_close(
        padded.restore(outputs, x), plain.restore(outputs, complete), atol=1e-3, rtol=1e-3
    )


def test_complete_windows_are_as_without_padding() -> None:
    some = history()[13:20]
    assert (some.lengths() == LOOKBACK).all()
    fitted = Series("revin", deseasonalize=True).fit(some)
    former = Series("revin", deseasonalize=True).fit(replace(some, min_lookback=None))
    x = fitted.transform(some)["x"][:]
    assert torch.equal(x, former.transform(replace(some, min_lookback=None))["x"][:])
    left, right = fitted.on_device(), former.on_device()
    assert left is not None and right is not None
    torch.testing.assert_close(left(x), right(x), atol=1e-5, rtol=1e-5)


def test_settings_of_earlier_versions_have_complete_windows() -> None:
    fitted = Series().fit(history(min_lookback=None)[13:20])
    del fitted.min_lookback_
    assert fitted.least == LOOKBACK
    with pytest.raises(DataError, match="a forecast needs 16 steps of 3 columns"):
        fitted.transform(np.ones((LOOKBACK - 1, 3)))


@pytest.mark.parametrize("known", [0, 1])
def test_new_series_may_have_different_lengths(known: int) -> None:
    fitted = Series().fit(history(known))
    ahead = HORIZON if known else 0
    lengths = [LOOKBACK + 4, LEAST, 9]
    series = [np.random.default_rng(n).normal(size=(n + ahead, 3)) for n in lengths]
    for own in series if ahead else ():
        own[-ahead:, :-1] = np.nan
    together = fitted.transform(fitted._rows(series))["x"][:]
    for own, row, steps in zip(series, together, lengths, strict=True):
        alone = fitted.transform(own)["x"][:]
        torch.testing.assert_close(alone[0], row, equal_nan=True)
        assert int(row[:, 0].isnan().sum()) == LOOKBACK - min(steps, LOOKBACK)
    with pytest.raises(DataError, match=f"a forecast needs {LEAST + ahead} steps"):
        fitted.transform(series[1][1:])
    series[2][4, 1] = np.nan
    with pytest.raises(DataError, match="a value is missing") as error:
        fitted._rows(series, ["a", "b", "c"])
    assert "series c, step 4, column y" in str(error.value.problems[0].where)
