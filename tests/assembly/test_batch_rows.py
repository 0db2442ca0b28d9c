"""`dataset.batch_size`: from the number of training rows."""

from __future__ import annotations

import pytest
from torch import nn

from dlcli.assembly.batch_rows import automatic_rows, rows_of
from dlcli.assembly.optimization import describe_optimizer


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 32), (1, 32), (4_500, 32), (4_600, 64), (22_000, 256), (26_048, 256), (1 << 22, 1024)],
)
def test_a_hundredth_of_the_rows_as_a_power_of_two(rows: int, expected: int) -> None:
    assert automatic_rows(rows) == expected
    assert rows_of("auto", rows) == expected


def test_words_and_numbers() -> None:
    assert (rows_of("full", 70), rows_of(7, 70)) == (70, 7)


def test_the_panel_names_optimizers_without_batches() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)).requires_grad_(True)
    model[2].requires_grad_(False)  # frozen layers are in evaluation mode
    plain = {"optimizer": {"_target_": "torch.optim.Adam"}, "callbacks": {}, "trainer": {}}
    assert describe_optimizer(plain, model) == {}
    solved = {"optimizer": {"_target_": "dlcli.training.penalty_path.PenaltyPath"}}
    assert list(describe_optimizer(solved, model)) == ["optimizer"]
    accumulated = {**plain, "trainer": {"accumulate_grad_batches": 4}}
    model.not_accumulated = "anchors are drawn"
    assert describe_optimizer(accumulated, model) == {
        "accumulation": "each step is over the rows of 4 batches; batch normalization (2 layers) is over those of each "
        "batch; anchors are drawn"
    }
