"""Preprocessing of series: scaled once, read as windows, without unknown future values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.windows import History, Stretches
from dlcli.errors import DataError
from dlcli.preprocessing.model_windows import ModelWindows
from dlcli.preprocessing.series import Series
from dlcli.training.fields import Field
from dlcli.training.network import Network

STEPS, LOOKBACK, HORIZON = 50, 8, 3


def history(known: int = 0, rows: slice = slice(None)) -> History:
    values = np.random.default_rng(0).normal([5, 1000, 0], [1, 50, 0.1], size=(STEPS, 3))
    origins = np.arange(LOOKBACK, STEPS - HORIZON + 1)
    return History(values, origins, HORIZON, ("a", "b", "c"), LOOKBACK, targets=2, known=known)[rows]


def test_statistics_count_each_step_of_the_training_part_once() -> None:
    train = history(rows=slice(0, 20))
    fitted = Series().fit(train)
    seen = train.values[: LOOKBACK + 19 + HORIZON]
    assert np.allclose(fitted.mean_, seen.mean(axis=0))
    assert np.allclose(fitted.std_, seen.std(axis=0))
    assert fitted.rows_seen_ == 20


def test_a_constant_column_is_not_scaled() -> None:
    values = np.full((STEPS, 1), 7.0)
    flat = History(values, np.arange(LOOKBACK, 40), HORIZON, ("a",), LOOKBACK, targets=1)
    assert (Series().fit(flat).transform(flat)["x"][:] == 0).all()


@pytest.mark.parametrize("known", [0, 1])
def test_a_batch_holds_the_windows_of_its_rows(known: int) -> None:
    some = history(known)
    fitted = Series().fit(some)
    field = fitted.transform(some[[30, 4, 11]])["x"]
    assert isinstance(field, Field)
    assert field.shape == (3, LOOKBACK + (HORIZON if known else 0), 3)
    scaled = (some.values - fitted.mean_) / fitted.std_
    for row, origin in enumerate(some.origins[[30, 4, 11]]):
        assert np.allclose(field[row : row + 1][0, :LOOKBACK], scaled[origin - LOOKBACK : origin], atol=1e-6)
    chosen = field.index_select(0, torch.tensor([2, 0]))
    assert torch.equal(chosen, torch.cat([field[2:3], field[0:1]]))
    assert torch.equal(field.to(torch.device("cpu"))[:], field[:])


def test_only_known_covariates_are_read_beyond_the_origin() -> None:
    some = history(known=1)
    fitted = Series().fit(some)
    field = fitted.transform(some[[5]])["x"][:]
    origin = int(some.origins[5])
    ahead = (some.values[origin : origin + HORIZON, 2] - fitted.mean_[2]) / fitted.std_[2]
    assert np.allclose(field[0, LOOKBACK:, 2], ahead, atol=1e-6)
    assert (field[0, LOOKBACK:, :2] == 0).all()
    # Values after the origin change nothing else.
    later = some.values.copy()
    later[origin:, :2] = np.nan
    changed = History(later, some.origins, HORIZON, some.columns, LOOKBACK, targets=2, known=1)
    assert torch.equal(fitted.transform(changed[[5]])["x"][:], field)


def test_windows_do_not_multiply_memory() -> None:
    values = np.zeros((100_000, 1))
    long = History(values, np.arange(1000, 99_900), 100, ("a",), 1000, targets=1)
    field = Series().fit(long).transform(long)["x"]
    assert field.nbytes <= 2 * values.nbytes
    # A part keeps only its own section of the series.
    assert len(Series().fit(long).transform(long[90_000:])["x"].values) == 1000 + 8_900 - 1


def test_zero_rows_are_allowed() -> None:
    fitted = Series().fit(history())
    assert fitted.transform(history(rows=slice(0, 0)))["x"][:].shape == (0, LOOKBACK, 3)


def test_raw_steps_are_one_row() -> None:
    some = history()
    fitted = Series().fit(some)
    steps = pd.DataFrame(some.values[:30], columns=["a", "b", "c"])[["c", "b", "a"]].assign(other="text")
    expected = fitted.transform(some[[30 - LOOKBACK]])["x"][:]
    assert torch.allclose(fitted.transform(steps)["x"][:], expected)
    blocks = np.stack([some.values[:30], some.values[5:35]])
    assert fitted.transform(blocks)["x"].shape == (2, LOOKBACK, 3)
    assert torch.allclose(fitted.transform(blocks)["x"][:1], expected)


def test_raw_steps_continue_with_known_covariates() -> None:
    some = history(known=1)
    fitted = Series().fit(some)
    steps = pd.DataFrame(some.values[: 30 + HORIZON], columns=["a", "b", "c"])
    steps.loc[30:, ["a", "b"]] = np.nan
    assert torch.allclose(fitted.transform(steps)["x"][:], fitted.transform(some[[30 - LOOKBACK]])["x"][:])


def test_incomplete_raw_steps_are_reported() -> None:
    fitted = Series().fit(history())
    steps = pd.DataFrame(history().values, columns=["a", "b", "c"])
    with pytest.raises(DataError, match=r"there is no column c\n  Did you mean cc?"):
        fitted.transform(steps.rename(columns={"c": "cc"}))
    with pytest.raises(DataError, match="step 45, column b: 'much' is not a number"):
        fitted.transform(steps.astype({"b": object}).assign(b=[*steps["b"][:45], "much", *steps["b"][46:]]))
    for wrong in (np.zeros(3), np.zeros((2, 3, 8, 3)), np.zeros((8, 1))):
        with pytest.raises(DataError, match=r"the model needs \(rows, steps, 3\) or \(steps, 3\)"):
            fitted.transform(wrong)
    with pytest.raises(DataError, match=r"needs 8 steps of 3 columns \(a, b, c\), but got 5 steps"):
        fitted.transform(steps.head(5))
    steps.loc[45, "b"] = np.nan
    with pytest.raises(DataError, match="step 45, column b: a value is missing"):
        fitted.transform(steps)


@pytest.mark.parametrize("known", [0, 1])
def test_predictions_follow_a_shifted_level(known: int) -> None:
    some = history(known)
    fitted = Series(channels="mixed").fit(some)
    on_device = fitted.on_device()
    assert on_device is not None
    x = fitted.transform(some[:4])["x"][:]
    seen = on_device(x)
    unknown = 3 - known
    assert (seen[:, LOOKBACK - 1, :unknown] == 0).all()
    assert torch.equal(seen[:, :, unknown:], x[:, :, unknown:])
    higher = x.clone()
    higher[:, :LOOKBACK, :unknown] += 5
    assert torch.allclose(on_device(higher), seen, atol=1e-5)
    outputs = torch.randn(4, HORIZON * 2)
    restored = on_device.restore(outputs, x)
    last = x[:, LOOKBACK - 1, :2]
    assert torch.allclose(restored.reshape(4, HORIZON, 2), outputs.reshape(4, HORIZON, 2) + last[:, None])
    assert torch.allclose(on_device.restore(outputs, higher), restored + 5, atol=1e-5)
    assert Series(relative=False, channels="mixed").fit(some).on_device() is None


@pytest.mark.parametrize("relative", ["none", "last", "revin"])
def test_each_target_is_a_row_of_its_own(relative: str) -> None:
    some = history(known=1)
    mixed, alone = (
        Series(relative, channels).fit(some).on_device()
        or ModelWindows(LOOKBACK, HORIZON, targets=2, known=1, relative="none")
        for channels in ("mixed", "independent")
    )
    x = Series().fit(some).transform(some[:4])["x"][:]
    together, rows = mixed(x), alone(x)
    assert rows.shape == (8, LOOKBACK + HORIZON, 2)
    for row in range(8):
        own = together[row // 2][:, [row % 2, 2]]  # one target, and the column that is known ahead
        assert torch.equal(rows[row], own)
    outputs = torch.randn(4, 2, HORIZON, 3)  # three quantiles of each step of each target
    expected = mixed.restore(outputs.transpose(1, 2).flatten(1), x)
    assert torch.allclose(alone.restore(outputs.flatten(0, 1).flatten(1), x), expected)
    facts = {"input_shape": (LOOKBACK + HORIZON, 3), "num_outputs": HORIZON * 2 * 3, "targets": 2}
    seen = Series(channels="independent").fit(some).facts_of_model(facts)
    assert seen == {"input_shape": (LOOKBACK + HORIZON, 2), "num_outputs": HORIZON * 3, "targets": 1}
    assert Series(takes_variables=True).fit(some).facts_of_model(facts) == facts


@pytest.mark.parametrize("channels", ["mixed", "independent"])
def test_each_member_of_an_ensemble_is_restored(channels: str) -> None:
    class Members(torch.nn.Module):
        members = 3

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            targets = 2 if channels == "mixed" else 1
            return torch.arange(3.0).reshape(1, 3, 1).expand(len(x), 3, HORIZON * targets)

    some = history()
    fitted = Series(channels=channels).fit(some)
    network = Network(Members(), fitted.on_device())
    x = fitted.transform(some[:4])["x"][:]
    last = x[:, -1, :2].repeat(1, HORIZON)
    outputs = network.train()({"x": x})
    assert outputs.shape == (4, 3, HORIZON * 2)
    torch.testing.assert_close(outputs, last[:, None] + torch.arange(3.0)[:, None])
    torch.testing.assert_close(network.eval()({"x": x}), last + 1)
    assert network.evaluation_rows(64) == (512 if channels == "mixed" else 256)


def test_normalized_windows_have_no_unit() -> None:
    some = history()
    on_device = Series("revin", channels="independent").fit(some).on_device()
    x = Series().fit(some).transform(some[:4])["x"][:]
    seen = on_device(x)
    assert torch.allclose(seen[:, :, 0].std(dim=1, correction=0), torch.ones(8), atol=1e-3)
    assert torch.allclose(on_device(3 * x + 7), seen, atol=1e-3)
    outputs = torch.randn(8, HORIZON)
    assert torch.allclose(
        on_device.restore(outputs, 3 * x + 7), 3 * on_device.restore(outputs, x) + 7, atol=1e-3
    )


@pytest.mark.parametrize("value", ["mean", ["last"], 1, None])
def test_an_unknown_option_of_windows_is_refused(value: Any) -> None:
    fitted = Series().fit(history())
    fitted.relative = value  # as in a folder that was changed
    with pytest.raises(ValueError, match=r"relative is .*, not none, last, revin"):
        fitted.on_device()


def test_settings_of_earlier_versions_are_read() -> None:
    fitted = Series(relative=True).fit(history())
    for name in ("channels", "takes_variables"):  # keys that they lack
        delattr(fitted, name)
    on_device = fitted.on_device()
    assert (on_device.relative, on_device.independent) == ("last", False)
    assert repr(fitted) == "Series(relative=True)"
    # A run that is trained again is built from the keys that it has.
    assert not Series(relative=True, takes_variables=False).fit(history()).on_device().independent


def several(sizes: list[float], seed: int = 0) -> History:
    """Return series of these standard deviations, one after another."""
    draw = np.random.default_rng(seed)
    values = np.concatenate([100 + size * draw.normal(size=(STEPS, 1)) for size in sizes])
    begins = np.arange(len(sizes)) * STEPS
    origins = (begins[:, None] + np.arange(LOOKBACK, STEPS - HORIZON + 1)).ravel()
    names = tuple(f"S{number}" for number in range(len(sizes)))
    stretches = Stretches(begins, names, "id")
    return History(values, origins, HORIZON, ("v",), LOOKBACK, targets=1, stretches=stretches)


@given(unit=st.floats(1e-6, 1e6), small=st.floats(1e-5, 1), constant=st.booleans())
@settings(deadline=None, max_examples=20)
def test_series_of_very_different_sizes_are_normalized(unit: float, small: float, constant: bool) -> None:
    sizes = [unit * size for size in (1, 1, 1, small, small)] + [0.0] * constant
    some = several(sizes)
    share = np.nanmin(some.sizes())
    relative, reason = Series.automatic_for(some)["relative"]
    if abs(share - 0.07) > 0.01:
        assert relative == ("revin" if share < 0.07 else "last"), (share, reason)
    fitted = Series("auto").fit(some)
    assert fitted.on_device().relative == relative
    # Steps that no training row covers do not decide.
    fewer = replace(some, values=np.concatenate([some.values, some.values * 1e9]))
    assert Series.automatic_for(fewer) == {"relative": (relative, reason)}


def test_one_series_is_relative_to_its_last_values() -> None:
    assert Series.automatic_for(history()) == {"relative": ("last", "for one series")}
    assert Series.automatic_for(several([0, 0]))["relative"][0] == "last"
