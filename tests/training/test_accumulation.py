"""Gradient accumulation: each step is the mean over the rows of its group of batches."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import data, fit_recipe
from hypothesis import assume, given, settings
from hypothesis.strategies import dictionaries, integers, none
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from torch import nn

from dlcli.models.detections import with_loss
from dlcli.models.mlp import MLP
from dlcli.preprocessing.language import NO_TARGET
from dlcli.tasks.base import Task
from dlcli.tasks.detection import Detection
from dlcli.tasks.language_model import LanguageModel
from dlcli.tasks.losses import CrossEntropy, NextToken
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.tag import NO_WORD, Tag
from dlcli.tasks.tag_losses import TagCrossEntropy
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network
from dlcli.training.schedules import Length
from dlcli.training.step_plan import StepPlan, plan_steps
from dlcli.training.step_shares import StepShares


def weights(
    folder: Path, rows: int, batch_size: int, loss: nn.Module | None = None, **options: Any
) -> torch.Tensor:
    """Return the weights after training without dropout, as one vector."""
    torch.manual_seed(0)
    network = Network(MLP((4,), 2, hidden=16))
    task = Multiclass(["no", "yes"], [100, 100], loss or nn.CrossEntropyLoss())
    trainer = {"max_epochs": 3, **options.pop("trainer", {})}
    fit_recipe(
        folder,
        network,
        task,
        data(rows),
        data(20, seed=1),
        trainer,
        batch_size=batch_size,
        make_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9),
        **options,
    )
    return nn.utils.parameters_to_vector(network.parameters()).detach()


@pytest.mark.parametrize(
    ("rows", "batch", "accumulated"),
    [
        (96, 8, 3),  # equal batches in complete groups
        (90, 8, 3),  # a small last batch
        (89, 8, 3),  # a large last batch, which a single row has joined
        (80, 8, 3),  # a last group of one batch
        (44, 8, 24),  # more than the batches of an epoch: all rows make up one step
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_accumulation_equals_large_batches(
    rows: int, batch: int, accumulated: int, weighted: bool, tmp_path: Path
) -> None:
    loss = CrossEntropy(["no", "yes"], [150, 50], class_weights="balanced") if weighted else None
    small = weights(tmp_path / "a", rows, batch, loss, trainer={"accumulate_grad_batches": accumulated})
    large = weights(tmp_path / "b", rows, batch * accumulated, loss)
    torch.testing.assert_close(small, large, rtol=0, atol=1e-6)


class EachWord(nn.Module):
    """Scores of three tags or tokens for each word, from itself alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Embedding(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.scores(x.clamp_min(0))
        return scores


class EachObject(nn.Module):
    """A box and a share of background for each image; the loss is a mean over the objects of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 5)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        made, nothing = self.layer(x), x.new_zeros(len(x), 0, 6)
        if y is None:
            return nothing
        there = y[..., 4] >= 0
        wrong = ((made[:, None, :4] - y[..., :4]).square().sum(dim=2) * there).sum() + made[
            :, 4
        ].square().sum()
        return with_loss(wrong / there.sum().clamp_min(1), nothing, there.sum())


LENGTHS = torch.tensor([1, 9, 2, 7, 1, 1, 8, 3, 2, 1, 12, 1, 4, 1, 1, 6, 2, 1, 3, 5, 1, 2, 9])


def words_and_task(kind: str) -> tuple[dict[str, Any], Task]:
    """Return the fields of rows of 1 to 12 words with a random target for each word, and the task."""

    def padded(top: int, padding: int) -> torch.Tensor:
        values = torch.randint(0, top, (len(LENGTHS), 12), generator=torch.Generator().manual_seed(top))
        return values.masked_fill(torch.arange(12) >= LENGTHS[:, None], padding)

    x, targets = padded(5, 0), padded(3, NO_TARGET if kind == "tokens" else NO_WORD)
    if kind == "tokens":
        fields = {"x": x, "next_tokens": targets, "characters": LENGTHS, "y": LENGTHS}
        return fields, LanguageModel("abc", [1, 1, 1], NextToken(), metrics=())
    names, counts = ["a", "b", "c"], [60, 20, 3]
    if kind == "objects":
        boxes = torch.rand(len(LENGTHS), 12, 6, generator=torch.Generator().manual_seed(0))
        boxes[..., 4:] = 0.0
        boxes[
            torch.arange(12) >= (LENGTHS - 1)[:, None]
        ] = -1.0  # of a third of the images, no object is left
        return {"x": boxes[:, :2, 0] * LENGTHS[:, None] / 9, "y": boxes}, Detection(
            names, counts, [], metrics=()
        )
    loss = TagCrossEntropy(names, counts, class_weights="balanced" if kind == "weighted words" else None)
    return {"x": x, "y": targets}, Tag(names, counts, loss, longest=12)


@pytest.mark.parametrize(("batch", "accumulated"), [(4, 3), (5, 9)])
@pytest.mark.parametrize("kind", ["words", "weighted words", "tokens", "objects"])
def test_accumulation_equals_large_batches_of_uneven_rows(
    kind: str, batch: int, accumulated: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is the mean over the words or objects of all its batches, not the mean of the batches' means."""
    monkeypatch.setattr("dlcli.training.epoch_samples.write_texts", lambda *_: None)
    monkeypatch.setattr(LanguageModel, "language", None)

    def weights_of(folder: Path, rows: int, batches: int) -> torch.Tensor:
        torch.manual_seed(0)
        fields, task = words_and_task(kind)
        model = EachObject() if kind == "objects" else EachWord()
        network = Network(model, finish=task.outputs if kind == "tokens" else None)
        trainer = {"max_epochs": 2, "accumulate_grad_batches": batches, "gradient_clip_val": 0.3}
        optimizer = partial(torch.optim.SGD, lr=0.5, momentum=0.9)
        fit_recipe(folder, network, task, fields, fields, trainer, batch_size=rows, make_optimizer=optimizer)
        return nn.utils.parameters_to_vector(network.parameters()).detach()

    small = weights_of(tmp_path / "a", batch, accumulated)
    large = weights_of(tmp_path / "b", batch * accumulated, 1)
    torch.testing.assert_close(small, large, rtol=0, atol=1e-6)


def test_processes_are_weighted_by_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with 5 and 2 words of a batch: the mean of their weighted means is that of the 7 words."""
    _, task = words_and_task("words")
    monkeypatch.setattr("dlcli.training.step_shares.summed", lambda _: torch.tensor(7.0))
    shares = StepShares(task, Network(EachWord()), StepPlan(6, lambda _: 4, {0: 2}), ranks=2)
    words = torch.tensor([[0, 1, 2, NO_WORD], [1, 0, NO_WORD, NO_WORD]])
    assert shares.of_rank(torch.zeros(2, 4, 3), {"y": words}) == pytest.approx(2 * 5 / 7)
    assert shares.of_rank(torch.zeros(1, 4, 3), {"y": words[1:]}) == pytest.approx(2 * 2 / 7)
    assert shares.of_batch(0, 0) == 1
    rows = StepShares(
        Multiclass(["a", "b"], [1, 1], nn.CrossEntropyLoss()), Network(EachWord()), plan(), ranks=2
    )
    assert rows.of_rank(torch.zeros(2, 2), {"y": words, "rank_weight": torch.tensor(0.5)}) == 0.5


def test_a_changing_accumulation_equals_large_batches(tmp_path: Path) -> None:
    """Lightning's scheduler accumulates 1 batch in the first epoch, and 4 from the second epoch on."""
    scheduler = GradientAccumulationScheduler({1: 4})
    small = weights(tmp_path / "a", 90, 8, callbacks=[scheduler])
    first = weights(tmp_path / "b", 90, 8, trainer={"max_epochs": 1})
    assert not torch.equal(small, first)

    class Grows(BatchLoader):
        """Rows in batches of 8, and of 32 from the second epoch on."""

        @property
        def batch_size(self) -> int:
            return 8 if self.epoch == 0 else 32

        @batch_size.setter
        def batch_size(self, rows: int) -> None: ...

    loader = Grows(data(90), 8, shuffle=True)
    torch.manual_seed(0)
    network = Network(MLP((4,), 2, hidden=16))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9)
    for loader.epoch in range(3):
        for batch in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch), batch["y"]).backward()
            optimizer.step()
    large = nn.utils.parameters_to_vector(network.parameters()).detach()
    torch.testing.assert_close(small, large, rtol=0, atol=1e-6)


def plan(batches: int = 10, **accumulated: int) -> StepPlan:
    return StepPlan(batches, lambda batch: 8, {int(k[1:]): v for k, v in accumulated.items()})


def test_a_plan_counts_the_steps_of_each_epoch() -> None:
    found = plan(_0=1, _2=4)
    assert [found.steps(epoch) for epoch in range(4)] == [10, 10, 3, 3]
    assert found.length(4) == Length(26, 4, 10)
    assert found.length(None) == found.length(-1) == Length(None, None, 10)
    assert found.length(4, 25) == Length(25, 4, 10)
    assert found.length(4, 100) == Length(26, 4, 10)
    assert found.length(-1, 21) == Length(21, 3, 10)


@given(
    batches=integers(1, 9),
    changes=dictionaries(integers(1, 8), integers(1, 5), max_size=3),
    epochs=none() | integers(0, 12),
    steps=integers(-1, 60),
)
@settings(max_examples=100)
def test_a_planned_length_equals_the_count_of_each_epoch(
    batches: int, changes: dict[int, int], epochs: int | None, steps: int
) -> None:
    assume(epochs is not None or steps >= 0)
    made = StepPlan(batches, lambda _: 8, {0: 2, **changes})
    done = count = 0
    while done != epochs and (steps < 0 or count < steps):
        count += made.steps(done)
        done += 1
    found = made.length(epochs, steps)
    assert (found.epochs, found.steps) == (done, min(count, steps) if steps >= 0 else count)


def test_the_length_of_very_many_epochs_needs_no_loop() -> None:
    found = StepPlan(3, lambda _: 8, {0: 1, 5: 2}).length(10**15)
    assert (found.epochs, found.steps) == (10**15, 15 + 2 * (10**15 - 5))


def test_the_weights_of_a_group_add_up_to_the_batches_per_step() -> None:
    found = StepPlan(5, [8, 8, 8, 8, 3].__getitem__, {0: 3})
    shares = [found.weight(0, batch) for batch in range(5)]
    assert shares == pytest.approx([1, 1, 1, 3 * 8 / 11, 3 * 3 / 11])


@pytest.mark.parametrize(
    ("limit", "batches"), [(None, 25), (1.0, 25), (1, 1), (0.5, 12), (7, 7), (100, 25)], ids=str
)
def test_a_plan_has_the_batches_that_are_trained(limit: Any, batches: int) -> None:
    loader = BatchLoader(data(200), 8, shuffle=True)
    assert plan_steps(loader, {"limit_train_batches": limit}).batches == batches
