"""Standard errors of the validation loss over its rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dlcli.reports.diagnosis import FALL_SE, LOSS_SE, RISE_SE
from dlcli.training.row_noise import RowNoise, group_sums

CPU = torch.device("cpu")


def groups(losses: Tensor) -> Tensor:
    return group_sums(lambda some, _: some.mean(), losses, losses)


def test_they_are_those_of_means_over_rows() -> None:
    rng, ratios = torch.Generator().manual_seed(0), []
    for _ in range(40):
        before, after = torch.randn(2, 200, generator=rng).double()
        noise = RowNoise()
        assert set(noise.update(2.0, groups(before + 5), CPU)) == {LOSS_SE}
        found = noise.update(3.0, groups(before + 5 + after / 10), CPU)
        ratios.append([found[LOSS_SE] * 200**0.5, found[RISE_SE] * 10 * 200**0.5])
    assert np.mean(ratios, axis=0) == pytest.approx([1, 1], rel=0.1)


def test_the_rise_is_from_the_lowest_loss_and_outlives_a_checkpoint() -> None:
    losses = torch.arange(40.0)
    noise = RowNoise()
    noise.update(1.0, groups(losses), CPU)
    assert noise.update(2.0, groups(losses * 3), CPU)[RISE_SE] > 0
    resumed, elsewhere, damaged = RowNoise(), RowNoise(ranks=2), RowNoise()
    resumed.load_state_dict(noise.state_dict())
    assert resumed.update(4.0, groups(losses + 7), CPU)[RISE_SE] == pytest.approx(0, abs=1e-6)
    elsewhere.load_state_dict(noise.state_dict())  # other rows are in its groups
    assert elsewhere.state_dict()["best"] == []
    damaged.load_state_dict({"ranks": 1, "best": "x", "lowest": 0.5})
    assert damaged.update(1.0, groups(losses), CPU).keys() == {LOSS_SE}


def test_there_is_none_for_too_few_groups_or_infinite_losses() -> None:
    noise = RowNoise()
    assert noise.update(1.0, groups(torch.arange(3.0)), CPU) == {}
    assert noise.update(1.0, groups(torch.tensor([1.0, 2, 3, torch.inf, 5])), CPU) == {}
    assert noise.update(1.0, groups(torch.arange(0.0)), CPU) == {}
    assert noise.update(1.0, None, CPU) == {}


def test_the_fall_is_that_of_means_of_epochs_and_outlives_a_checkpoint() -> None:
    rng = torch.Generator().manual_seed(0)
    losses = torch.rand(24, 64, generator=rng).double()
    noise = RowNoise()
    found = [noise.update(1.0, groups(epoch), CPU) for epoch in losses]
    assert [FALL_SE in epoch for epoch in found[:5]] == [False] * 3 + [True] * 2
    half = 24 // 6
    sums, rows = groups(losses[-2 * half : -half].mean(dim=0) - losses[-half:].mean(dim=0))
    change = sums / rows
    assert found[-1][FALL_SE] == pytest.approx(float(change.std()) / 4)
    whole, resumed = RowNoise(), RowNoise()
    for epoch in losses[:13]:
        whole.update(1.0, groups(epoch), CPU)
    resumed.load_state_dict(whole.state_dict())
    for epoch, expected in zip(losses[13:], found[13:], strict=True):
        assert resumed.update(1.0, groups(epoch), CPU) == expected


def test_neighbouring_rows_of_a_series_are_in_one_group() -> None:
    rng = np.random.default_rng(0)
    estimated, means = [], []
    for _ in range(30):
        losses = np.zeros(1600)
        for row, shock in enumerate(rng.normal(size=1600)):
            losses[row] = 0.9 * losses[row - 1] + shock
        values = torch.from_numpy(losses)
        means.append(losses.mean())
        sums = group_sums(lambda some, _: some.mean(), values, values, in_sequence=True)
        estimated.append(RowNoise().update(0.0, sums, CPU)[LOSS_SE])
    assert np.mean(estimated) == pytest.approx(np.std(means), rel=0.35)


def test_rows_that_are_sorted_are_divided_at_random() -> None:
    values = torch.arange(1600.0, dtype=torch.float64)
    found = RowNoise().update(0.0, groups(values), CPU)[LOSS_SE]
    assert found == pytest.approx(float(values.std()) / 40, rel=0.5)
