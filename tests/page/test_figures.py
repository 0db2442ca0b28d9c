from types import SimpleNamespace
from typing import Any

import pytest

from dlcli.page.blocks import Estimate, Figures
from dlcli.page.figures import without_log_loss_twice
from dlcli.page.wording import _training


@pytest.mark.parametrize(
    ("log_loss", "rows"), [(0.50001, ["loss (log_loss)", "f1"]), (0.51, ["loss", "f1", "log_loss"])]
)
def test_a_loss_that_is_the_log_loss_has_one_row(log_loss: float, rows: list[str]) -> None:
    table = Figures(
        "results",
        "",
        ("metric", "one", "another", "baseline"),
        (
            ("loss", Estimate(0.5), None, 0.7),
            ("f1", Estimate(0.9), 0.8, 0.0),
            ("log_loss", Estimate(log_loss, 0.4, 0.6), None, 0.7),
        ),
    )
    found = without_log_loss_twice(table).rows
    assert [row[0] for row in found] == rows
    assert Estimate(log_loss, 0.4, 0.6) in [row[1] for row in found]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("torch.optim.Adam", "Optimizer Adam, learning rate 0.1."),
        ("dlcli.training.penalty_path.PenaltyPath", "Optimizer PenaltyPath."),
    ],
)
def test_a_solver_has_no_learning_rate(optimizer: str, words: str) -> None:
    sections: dict[str, Any] = {"optimizer": {"_target_": optimizer, "lr": 0.1}, "trainer": {}}
    account: Any = SimpleNamespace(section=sections.get, ledger=SimpleNamespace(kind="run", metrics={}))
    assert list(_training(account)) == [words]
