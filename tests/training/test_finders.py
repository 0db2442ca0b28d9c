from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from fitting import data
from torch import nn

from dlcli.errors import TrainingError
from dlcli.models.mlp import MLP
from dlcli.tasks.multiclass import Multiclass
from dlcli.training import finders as batch_size_finder
from dlcli.training.finders import BatchSizeFinder, LearningRateFinder, Tryout
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe


class Bounded(nn.Module):
    """Runs out of memory above some rows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.layer, self.rows = nn.Linear(4, 2), rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(x)


def try_out(model: nn.Module | None = None, optimizer: Any = torch.optim.SGD, rows: int = 200) -> Any:
    torch.manual_seed(0)
    return partial(
        Tryout,
        network=Network(model or MLP((4,), 2, hidden=16)),
        task=Multiclass(["no", "yes"], [100, 100], nn.CrossEntropyLoss()),
        train=data(rows),
        recipe=Recipe(partial(optimizer, lr=0.1), pl.Trainer, batch_size=20, seed=0),
        device=torch.device("cpu"),
    )


def test_a_tryout_leaves_the_network_alone() -> None:
    given = try_out()
    before = [parameter.clone() for parameter in given.keywords["network"].parameters()]
    tryout = given(50)
    losses = [tryout.step() for _ in range(40)]
    assert losses[-1] < losses[0] / 1.5
    after = given.keywords["network"].parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_the_rate_that_is_found_learns(optimizer: Any) -> None:
    given = try_out(optimizer=optimizer)
    found = LearningRateFinder(end=1e3, steps=100).find(given, 20)
    assert found.key == "optimizer.lr"
    assert found.tried[0] < found.value < found.tried[-1]
    assert len(found.tried) == len(found.measured) < 100  # it ended when the loss exploded
    assert found == LearningRateFinder(end=1e3, steps=100).find(given, 20)

    recipe = given.keywords["recipe"]
    given.keywords["recipe"] = replace(recipe, make_optimizer=partial(optimizer, lr=found.value))
    tryout = given(20)
    losses = [tryout.step() for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


class Losses:
    """A tryout whose losses are given; the rows do not matter."""

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.optimizer = iter(losses), torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)

    def step(self) -> float:
        return next(self.losses)


def test_a_rate_at_which_few_rows_are_fitted_ends_the_test() -> None:
    tryout: Any = Losses([1.0] * 60 + [1e-3] * 90)  # falls at any higher rate
    found = LearningRateFinder().find(lambda _: tryout, 20)
    assert len(found.tried) < 150
    assert found.value == pytest.approx(found.tried[-1] / 10, rel=0.05)
    assert "10% of the first one: few rows, which are fitted" in found.reason
    assert not found.notices


def test_the_first_batches_do_not_decide() -> None:
    tryout: Any = Losses([0.1] + [1.0] * 100 + [0.9] * 20 + [float("inf")])
    found = LearningRateFinder().find(lambda _: tryout, 20)
    assert found.measured.index(min(found.measured)) == 0
    assert found.value == pytest.approx(found.tried[-1] / 10, rel=0.05)


def test_a_loss_that_never_rises_is_told() -> None:
    tryout: Any = Losses([1 - step / 300 for step in range(150)])
    found = LearningRateFinder().find(lambda _: tryout, 20)
    assert found.value == 1.0
    assert "10, the last rate (finder.end): it did not diverge" in found.reason
    (notice,) = found.notices
    assert notice.where == "finder.end"
    assert "higher ones may be better" in notice.text
    assert "finder.end=1000," in notice.hint


def test_a_loss_that_only_rises_is_told() -> None:
    tryout: Any = Losses([1 + step / 10 for step in range(150)])
    found = LearningRateFinder(start=0.01).find(lambda _: tryout, 20)
    assert found.value == pytest.approx(found.tried[20] / 10, rel=0.05)
    assert "among the first rates that are considered (finder.start=0.0001 tries lower ones)" in found.reason
    (notice,) = found.notices
    assert notice.where == "finder.start"
    assert "lower ones may be better" in notice.text
    assert "finder.start=0.0001," in notice.hint


def test_no_rate_helps_where_the_first_loss_is_not_finite() -> None:
    model = MLP((4,), 2)
    nn.init.constant_(model.layers[1].weight, float("nan"))
    with pytest.raises(TrainingError, match="regardless of the learning rate"):
        LearningRateFinder().find(try_out(model), 20)


def test_the_batch_is_the_smallest_that_is_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {8: 100.0, 16: 190.0, 32: 300.0, 64: 350.0, 128: 360.0, 200: 355.0}
    monkeypatch.setattr(batch_size_finder, "_rows_per_second", lambda tryout, rows: speeds[rows])
    found = BatchSizeFinder(enough=0.8).find(try_out(), 20)
    assert found.value == 32
    assert found.tried == [8, 16, 32, 64, 128, 200]  # all rows end it
    assert BatchSizeFinder(enough=0.95).find(try_out(), 20).value == 64
    assert BatchSizeFinder(largest=16).find(try_out(), 20).tried == [8, 16]


def test_running_out_of_memory_ends_the_search() -> None:
    found = BatchSizeFinder(enough=1e-9).find(try_out(Bounded(40)), 20)
    assert found.tried == [8, 16, 32]
    assert "64 rows do not fit" in found.reason
