"""Embeddings of numbers: encodings compared with their definition, and quantiles of training rows only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlcli.assembly.number_facts import number_facts
from dlcli.models.mlp import MLP
from dlcli.models.number_embeddings import QUANTILE_STEPS, NumberVectors, Periodic, Piecewise

ROWS = torch.linspace(0, 1, QUANTILE_STEPS + 1)
QUANTILES = [[], ROWS.tolist(), (ROWS**2 * 8).tolist()]
MODEL: dict[str, Any] = {"_target_": "dlcli.models.mlp.MLP", "numbers": "piecewise"}


def test_a_number_fills_the_bins_below_it() -> None:
    encoded = Piecewise([ROWS.tolist()], 2, bins=4).encode(torch.tensor([[-1.0], [0.0], [0.3], [1.0], [1.5]]))
    expected = [[-4, 0, 0, 0], [0, 0, 0, 0], [1, 0.2, 0, 0], [1, 1, 1, 1], [1, 1, 1, 3]]
    torch.testing.assert_close(encoded[:, 0], torch.tensor(expected))


def test_a_number_far_beyond_narrow_bins_is_bounded() -> None:
    column = [0.0, 1e-6, 0.5, 1 - 1e-6, 1.0]
    encoded = Piecewise([column], 2, bins=4).encode(torch.tensor([[-5.0], [0.0], [1.0], [9.0]]))
    expected = [[-4, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 5]]
    torch.testing.assert_close(encoded[:, 0], torch.tensor(expected, dtype=torch.float32))


def test_bins_of_equal_bounds_are_joined() -> None:
    """Half of the rows are 0, and the others 1 or 2, so that there are two bins."""
    column = np.repeat([0.0, 1.0, 2.0], [33, 16, 16]).tolist()
    encoded = Piecewise([column], 2, bins=8).encode(torch.tensor([[0.0], [0.5], [3.0]]))
    assert encoded[:, 0, 2:].eq(0).all()
    assert encoded[:, 0, :2].isfinite().all()
    assert encoded[0].eq(0).all()
    assert encoded[2, 0, 1] > 1


def test_the_embedding_starts_as_a_linear_one_and_learns_each_bin() -> None:
    torch.manual_seed(0)
    made = Piecewise(QUANTILES[1:], 3, bins=4)
    x = torch.tensor([[0.1, 3.0], [0.9, 7.0]])
    linear = x.unsqueeze(2) * made.weight[:, 0] + made.bias[:, 0]
    torch.testing.assert_close(made(x), linear)
    with torch.no_grad():
        made.weight[0, 4] = 1.0  # the highest bin of the first column
    torch.testing.assert_close(made(x) - linear, torch.tensor([[[0.0] * 3] * 2, [[0.6] * 3, [0.0] * 3]]))


def test_waves_of_a_number() -> None:
    torch.manual_seed(0)
    made = Periodic(2, 3, 4, frequency=0.5)
    x = torch.randn(5, 2)
    angles = 2 * torch.pi * x[:, 1:] * made.frequencies[1]
    waves = torch.cat([angles.cos(), angles.sin()], dim=1)
    expected = (waves @ made.weight[1] + made.bias[1]).relu()
    torch.testing.assert_close(made(x)[:, 1], expected)


@pytest.mark.parametrize("kind", ["piecewise", "periodic"])
def test_columns_without_quantiles_stay_as_they_are(kind: Any) -> None:
    made = NumberVectors(QUANTILES, kind, size=5, bins=3, frequency=0.1)
    x = torch.randn(4, 3)
    assert made(x).shape == (4, made.width) == (4, 11)
    assert torch.equal(made(x)[:, 0], x[:, 0])
    none = NumberVectors([[], []], kind, size=5, bins=3, frequency=0.1)
    assert torch.equal(none(x[:, :2]), x[:, :2])


def test_other_data_has_no_columns() -> None:
    with pytest.raises(ValueError, match="numbers=periodic embeds columns of a table"):
        MLP((1, 8, 8), 2, numbers="periodic")


def test_bins_come_with_the_weights() -> None:
    """A model that starts from the weights of another run reads numbers as that run did."""
    one, other = (
        MLP((1,), 1, quantiles=[(ROWS * factor).tolist()], numbers="piecewise") for factor in (1, 2)
    )
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(torch.ones(1, 1)), one(torch.ones(1, 1)))


def facts(x: Tensor, **keys: Any) -> dict[str, Any]:
    return number_facts({**MODEL, **keys}, x)


def test_quantiles_of_the_given_rows() -> None:
    x = torch.stack([torch.arange(129.0).flip(0), torch.arange(129) % 2, torch.zeros(129)], dim=1)
    found = facts(x)["quantiles"]
    assert found == [list(np.arange(0.0, 129, 2)), [], []]


def test_a_sample_of_many_rows_is_read() -> None:
    x = torch.arange(100_000.0).unsqueeze(1)
    (found,) = facts(x)["quantiles"]
    np.testing.assert_allclose(found, np.linspace(0, 99_999, QUANTILE_STEPS + 1), rtol=1e-3)


def test_the_number_of_training_rows_for_models_that_ask() -> None:
    model = {"_target_": "dlcli.models.tabm.TabM", "numbers": "plain"}
    assert number_facts(model, torch.randn(9, 2)) == {"training_rows": 9}
    assert number_facts(model, torch.randn(9, 2), rows=70) == {"training_rows": 70}


def test_only_models_that_ask_get_quantiles() -> None:
    x = torch.randn(9, 2)
    assert facts(x, numbers="plain") == {} == facts(x, _target_="dlcli.models.linear.Linear")
    assert facts(torch.randn(9, 2, 3)) == {} == facts(torch.ones(9, 2, dtype=torch.int64))
