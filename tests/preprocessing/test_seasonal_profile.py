"""Windows of series without their season and as logarithms: what the model sees, and how forecasts are restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlcli.datasets.windows import History
from dlcli.errors import ConfigError, DataError
from dlcli.preprocessing.model_windows import ModelWindows
from dlcli.preprocessing.seasonal_profile import SeasonalProfile
from dlcli.preprocessing.series import Series

HORIZON = 5


def history(
    season: int = 4, lookback: int = 16, steps: int = 60, known: int = 0, lowest: float = 1.0
) -> History:
    """Return two series that grow and have a season in proportion to their level, and a column that is known ahead."""
    t = np.arange(steps)
    growth = 1.02**t * (1 + 0.5 * np.sin(2 * np.pi * t / max(season, 2)))
    values = np.stack([lowest * 10 * growth, 500 * growth, t % 2], axis=1)[:, : 2 + known]
    origins = np.arange(lookback, steps - HORIZON + 1)
    columns = ("a", "b", "c")[: 2 + known]
    return History(values, origins, HORIZON, columns, lookback, 2, known, season if season > 1 else 1)


@given(season=st.integers(2, 13), seasons=st.integers(3, 6), more=st.integers(0, 5), seed=st.integers(0, 99))
def test_a_season_is_separated_from_a_linear_trend(season: int, seasons: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=season)
    pattern -= pattern.mean()
    lookback = season * seasons + more
    t = np.arange(lookback + HORIZON)
    wanted = torch.tensor(pattern[t % season]).float()[None, :, None]
    x = wanted[:, :lookback] + torch.tensor(3 + 0.1 * t[:lookback]).float()[None, :, None]
    past, ahead = SeasonalProfile(lookback, HORIZON, season)(x)
    torch.testing.assert_close(past, wanted[:, :lookback], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ahead, wanted[:, lookback:], atol=1e-3, rtol=1e-3)


def test_noise_has_nearly_no_profile() -> None:
    torch.manual_seed(0)
    noise = torch.randn(500, 48, 1)
    _, ahead = SeasonalProfile(48, 12, 12)(noise)
    # The unshrunken means of four seasons have a deviation of about 0.5.
    assert ahead.square().mean().sqrt() < 0.25
    assert (ahead.abs().amax(dim=(1, 2)) == 0).float().mean() > 0.3
    past, ahead = SeasonalProfile(48, 12, 12)(torch.full((1, 48, 1), 1e4))
    assert past.abs().max() == ahead.abs().max() == 0


@pytest.mark.parametrize("channels", ["mixed", "independent"])
@pytest.mark.parametrize("known", [0, 1])
@pytest.mark.parametrize("relative", ["none", "last", "revin"])
def test_the_model_sees_a_line_and_its_continuation_is_the_series(
    channels: Any, known: int, relative: Any
) -> None:
    some = history(known=known)
    fitted = Series(relative, channels, log=True, deseasonalize=True, recent=6).fit(some)
    windows = fitted.on_device()
    assert isinstance(windows, ModelWindows)
    x = fitted.transform(some)["x"][:]
    seen = windows(x)
    rows = len(x) * (2 if channels == "independent" else 1)
    assert seen.shape == (rows, 6 + (HORIZON if known else 0), x.shape[2] - (channels == "independent"))
    targets = 1 if channels == "independent" else 2
    # In logarithms without the season, the steps grow by a constant.
    growth = seen[:, :6, :targets].diff(dim=1)
    torch.testing.assert_close(growth, growth[:, :1].expand_as(growth), atol=2e-2, rtol=2e-2)
    line = seen[:, 5:6, :targets] + growth[:, -1:] * torch.arange(1, HORIZON + 1)[:, None]
    restored = windows.restore(line.flatten(1), x).reshape(len(x), HORIZON, 2)
    values = restored.numpy() * fitted.std_[:2] + fitted.mean_[:2]
    wanted = some.values[some.origins[:, None] + np.arange(HORIZON), :2]
    np.testing.assert_allclose(values, wanted, rtol=0.06)
    if known:
        torch.testing.assert_close(
            seen[:, :, targets], x[:, -seen.shape[1] :, 2].repeat_interleave(rows // len(x), 0)
        )


def test_the_size_of_a_series_does_not_change_what_the_model_sees() -> None:
    windows = ModelWindows(16, HORIZON, 1, 0, "revin", scale_of=([0.0], [1.0]), season=4, recent=8)
    x = torch.rand(6, 16, 1) + 0.5
    outputs = torch.randn(6, HORIZON)
    torch.testing.assert_close(windows(1000 * x), windows(x), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        windows.restore(outputs, 1000 * x), 1000 * windows.restore(outputs, x), rtol=1e-4, atol=1e-3
    )


def test_zeros_and_far_outputs_remain_finite() -> None:
    windows = ModelWindows(16, HORIZON, 1, 0, "revin", scale_of=([0.0], [1.0]), season=4)
    x = torch.rand(4, 16, 1) * 100
    x[0] = 0
    x[1, 5] = 0
    x[2, 3] = -1e-3  # zeros of a scaled series are not exact
    for outputs in (torch.zeros(4, HORIZON), torch.full((4, HORIZON), 1e6), torch.full((4, HORIZON), -1e6)):
        restored = windows.restore(outputs, x)
        assert restored.isfinite().all()
        assert (restored <= 1.2e3 * x.amax(dim=1).clamp_min(1e-9)).all()
    assert windows(x).isfinite().all()


def test_quantiles_keep_their_order() -> None:
    some = history()
    fitted = Series("revin", "independent", log=True, deseasonalize=True).fit(some)
    x = fitted.transform(some[:4])["x"][:]
    outputs = torch.randn(8, HORIZON, 3).sort(dim=2).values
    restored = fitted.on_device().restore(outputs.flatten(1), x).reshape(4, HORIZON, 2, 3)
    assert (restored.diff(dim=3) >= 0).all()


def test_the_model_is_built_for_the_steps_that_it_receives() -> None:
    some = history(known=1)
    fitted = Series("revin", "independent", recent=6).fit(some)
    facts = {"input_shape": (16 + HORIZON, 3), "num_outputs": HORIZON * 2, "targets": 2, "lookback": 16}
    assert fitted.facts_of_model(facts) == {
        "input_shape": (6 + HORIZON, 2),
        "num_outputs": HORIZON,
        "targets": 1,
        "lookback": 6,
    }
    x = fitted.transform(some[:3])["x"][:]
    same = Series("revin", "independent").fit(some).on_device()
    windows = fitted.on_device()
    assert windows(x).shape == (6, 6 + HORIZON, 2)
    torch.testing.assert_close(windows(x)[:, 6:], same(x)[:, 16:])


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"deseasonalize": True}, {"lookback": 11}, "a lookback of 11 is shorter than 3 seasons of 4 steps"),
        ({"deseasonalize": True}, {"season": 1}, "the series has no known season"),
        ({"recent": 17}, {}, "the model cannot receive 17 of 16 steps"),
    ],
)
def test_settings_that_do_not_suit_the_series_are_errors(
    settings: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Series(**settings).fit(history(**given))


def test_negative_values_have_no_logarithm() -> None:
    some = history(lowest=-1.0)
    with pytest.raises(
        DataError, match=r"column a: negative values, such as -\d.*\n  Set preprocessing.log=false"
    ):
        Series(log=True).fit(some)
    assert (some.values[:, 0] < 0).all()


def test_the_column_of_the_lowest_value_is_named() -> None:
    some = history(lowest=-1)
    some.values[:, 1] *= -1  # lower than those of the first column
    lowest = some.values[:, 1].min()
    with pytest.raises(DataError, match=rf"column b: negative values, such as {lowest:g},"):
        Series(log=True).fit(some)


def test_settings_that_a_saved_object_lacks_are_off() -> None:
    fitted = Series("last", "mixed").fit(history())
    for name in ("log", "deseasonalize", "recent"):
        delattr(fitted, name)
    windows = fitted.on_device()
    assert windows is not None
    assert not windows.log
    assert windows.profile is None
    assert repr(fitted) == "Series()"
