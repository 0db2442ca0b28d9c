"""Parts of a model trained in turns by one optimizer, compared with two optimizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.events import EpochDone, Event
from dlcli.models.dcgan import DCGAN
from dlcli.tasks.generate import Generate
from dlcli.training.averaging import EMA
from dlcli.training.checkpoints import Checkpoints
from dlcli.training.epoch_state import LAST
from dlcli.training.fit import FitResult
from dlcli.training.network import Network
from dlcli.training.optimizers import parameter_groups
from dlcli.training.schedules import Schedule, cosine
from dlcli.training.turns import Turns, turn_groups
from tests.training.fitting import fit_recipe
from tests.training.test_resume import Killed, same


def gan(*, spectral: bool = False) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN((1, 8, 8), 3, channels=(4, 8), noise=5, discriminator_lr=0.5, spectral=spectral)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 8, 8, generator=generator) * 2 - 1, torch.arange(6) % 3


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters, lr: torch.optim.Adam(parameters, lr, betas=(0.5, 0.99)),
        lambda parameters, lr: torch.optim.Adam(parameters, lr, fused=True),
        lambda parameters, lr: torch.optim.AdamW(parameters, lr, weight_decay=0.1),
        lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
    ],
    ids=["adam", "fused", "adamw", "sgd"],
)
def test_one_optimizer_in_turns_is_two_optimizers_bit_for_bit(make: Callable[..., Any]) -> None:
    one, two = gan(), gan()
    x, y = images()
    groups = parameter_groups(turn_groups(one), 0.01, 0, "all")
    optimizer, turns = make(groups, 0.01), Turns()
    torch.manual_seed(5)
    for _ in range(3):
        turns.take(one, one.turns(x, y), optimizer, {"y": y})
    own = {
        "discriminator": make(two.discriminator.parameters(), 0.005),
        "generator": make(two.generator.parameters(), 0.01),
    }
    torch.manual_seed(5)
    for _ in range(3):
        for part, loss in two.turns(x, y):
            for each in own.values():
                each.zero_grad()
            loss.backward()
            own[part].step()
    for (name, a), (_, b) in zip(one.state_dict().items(), two.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_the_means_of_an_epoch_continue_from_a_checkpoint() -> None:
    model = gan()
    x, y = images()
    optimizer = torch.optim.SGD(parameter_groups(turn_groups(model), 0.0, 0, "all"), 0.0)
    whole, part = Turns(), Turns()
    torch.manual_seed(0)
    for step in range(4):
        state = torch.get_rng_state()
        total, rows = whole.take(model, model.turns(x, y), optimizer, {"y": y})
        assert rows.shape == (6, 1) and float(rows[0]) == float(total)
        torch.set_rng_state(state)
        part.take(model, model.turns(x, y), optimizer, {"y": y})
        if step == 1:
            continued = Turns()
            continued.load_state_dict(part.state_dict())
            part = continued
    found = whole.compute()
    assert part.compute() == found
    assert set(found) == {
        f"train/{name}_{what}"
        for name in ("generator", "discriminator")
        for what in ("loss", "gradient_norm")
    }
    assert whole.state_dict() == {"sums": {}, "batches": 0}


def test_a_turn_leaves_the_other_part_as_it_is() -> None:
    model = gan()
    x, y = images()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.Adam(parameter_groups(turn_groups(model), 0.01, 0, "all"), 0.01)
    turns = model.turns(x, y)
    Turns().take(model, iter([next(turns)]), optimizer, {"y": y})
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("discriminator.") for name in moved)
    assert isinstance(model.get_submodule("generator"), nn.Module)


def fit_gan(folder: Path, earlier: Any = (), heard: list[dict[str, float]] | None = None) -> FitResult:
    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and heard is not None:
            heard.append(dict(event.metrics))

    folder.parent.mkdir(exist_ok=True)
    pixels = torch.randint(0, 256, (200, 1, 8, 8), generator=torch.Generator().manual_seed(2)).byte()
    task = Generate(("a", "b", "c"), (70, 70, 60))
    rows = {"x": pixels, "y": torch.from_numpy(task.encode(np.arange(200) % 3))}

    def optimizer(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameter_groups(groups, 0.01, 0, "all"), 0.01)

    return fit_recipe(
        folder,
        Network(gan()),
        task,
        rows,
        None,
        {"max_epochs": 3},
        make_optimizer=optimizer,
        make_schedule=lambda made, length: Schedule(
            cosine(made, length.steps, length.steps_per_epoch), "step"
        ),
        averaging=EMA(0.9),
        monitor="train/loss",
        checkpoint_minutes=1e-9,
        earlier=earlier,
        listen=listen,
    )


def test_a_gan_that_is_killed_within_an_epoch_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Both networks, both states of the optimizer, the schedule, the average and the means of the epoch."""
    whole = fit_gan(tmp_path / "a" / "checkpoints")
    original = Checkpoints.on_train_batch_end

    def kill(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        original(self, trainer, module, outputs, batch, batch_idx)
        if trainer.current_epoch == 1:
            raise Killed

    folder, history = tmp_path / "b" / "checkpoints", []  # type: ignore[var-annotated]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", kill)
        with pytest.raises(Killed):
            fit_gan(folder, heard=history)
    state = torch.load(folder / LAST, weights_only=True)
    assert state["within_epoch"]["turns"]["batches"] == 20
    resumed = fit_gan(folder, earlier=history)
    same(tmp_path / "a" / "checkpoints", folder, whole, resumed)
    own, other = (
        torch.load(tmp_path / name / "checkpoints" / LAST, weights_only=True)["optimizer_states"][0]["state"]
        for name in ("a", "b")
    )
    assert own.keys() == other.keys()
    for key, moments in own.items():
        assert all(torch.equal(value, other[key][name]) for name, value in moments.items())
    assert {"train/generator_loss", "train/discriminator_gradient_norm"} <= set(resumed.history[1])
