"""`dataset.batch_size`: from the number of training rows, and told."""

from __future__ import annotations

import numpy as np
import pytest

from dlcli.assembly.batch_rows import automatic_rows, rows_of
from dlcli.assembly.optimization import describe_batches


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 32), (1, 32), (4_500, 32), (4_600, 64), (22_000, 256), (26_048, 256), (1 << 22, 1024)],
)
def test_a_hundredth_of_the_rows_as_a_power_of_two(rows: int, expected: int) -> None:
    assert automatic_rows(rows) == expected
    assert rows_of("auto", rows) == expected


def test_words_and_numbers() -> None:
    assert (rows_of("full", 70), rows_of(7, 70)) == (70, 7)


def test_the_panel_names_what_was_chosen_and_nothing_else() -> None:
    config = {"optimizer": {"_target_": "torch.optim.Adam"}, "dataset": {"batch_size": "auto"}}
    rows = {"y": np.zeros(26_048)}
    assert describe_batches(config, rows) == {"batches": "batch_size auto: 256 for 26,048 rows"}
    assert describe_batches({**config, "dataset": {"batch_size": 32}}, rows) == {}
    solved = {**config, "optimizer": {"_target_": "dlcli.training.penalty_path.PenaltyPath"}}
    assert list(describe_batches(solved, rows)) == ["optimizer"]
