"""`dataset.batch_size`: from the number of training rows."""

from __future__ import annotations

import pytest

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
    assert describe_optimizer({"optimizer": {"_target_": "torch.optim.Adam"}}) == {}
    solved = {"optimizer": {"_target_": "dlcli.training.penalty_path.PenaltyPath"}}
    assert list(describe_optimizer(solved)) == ["optimizer"]
