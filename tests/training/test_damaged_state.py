"""A readable checkpoint from which training cannot resume gives a message with the command for a new run."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dlcli
from dlcli.errors import ConfigError, CorruptRun
from dlcli.tracking.digests import digest
from dlcli.training.epoch_state import LAST, raise_if_damaged
from dlcli.training.optimizers import settle_restored

WORDS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "trainer.accelerator=cpu",
         "callbacks=none", "tracking.system_metrics=false"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return dlcli.train([*WORDS, "runs_dir=runs"]).run_dir


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state["optimizer_states"][0]["state"][2].pop("exp_avg"),
        lambda state: state["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(4, 5)),
        lambda state: state["optimizer_states"][0]["param_groups"][0].update(betas=[1, 2, 3]),
        lambda state: state["loops"]["fit_loop"].update(epoch_progress={}),
        lambda state: state.pop("pytorch-lightning_version"),
        lambda state: state["state_dict"].popitem(),
    ],
    ids=["a moment", "a shape", "betas", "a loop", "a version", "a weight"],
)
def test_resume_names_the_checkpoint(made: Path, tmp_path: Path, damage: Callable[[Any], object]) -> None:
    folder = shutil.copytree(made.parents[2], tmp_path / "runs") / made.relative_to(made.parents[2])
    checkpoints = folder / "checkpoints"
    state = torch.load(checkpoints / LAST, weights_only=True)
    damage(state)
    torch.save(state, checkpoints / LAST)
    manifest = json.loads((checkpoints / "digests.json").read_text())
    manifest["sha256"][LAST] = [digest((checkpoints / LAST).read_bytes())]
    (checkpoints / "digests.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptRun, match=r"training cannot continue from the checkpoint[\s\S]*start over"):
        dlcli.resume(str(folder), ["trainer.max_epochs=2"])


def test_an_error_of_the_users_own_code_stays_as_it_is() -> None:
    try:
        raise ValueError("mine")
    except ValueError as error:
        raise_if_damaged(error, Path(LAST), "", restored=False)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[/build/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2345"),
        ConfigError("unknown", "trainer.max_epochs"),
    ],
    ids=["a full disk", "a lost rank", "a message"],
)
def test_an_error_with_another_cause_stays_as_it_is(error: Exception) -> None:
    raise_if_damaged(error, Path(LAST), "", restored=False)


def test_a_checkpoint_is_damaged_only_where_its_state_is_used() -> None:
    error = RuntimeError("an operator is missing")  # raised by no code of the user
    raise_if_damaged(error, Path(LAST), "", restored=True)
    with pytest.raises(CorruptRun, match="an operator is missing"):
        raise_if_damaged(error, Path(LAST), "", restored=False)
    try:
        torch.optim.Adam([torch.ones(1, requires_grad=True)], betas=(1, 2, 3))  # type: ignore[arg-type]
    except ValueError as of_the_optimizer:
        of_the_optimizer.__traceback__ = of_the_optimizer.__traceback__.tb_next  # type: ignore[union-attr]
        with pytest.raises(CorruptRun):
            raise_if_damaged(of_the_optimizer, Path(LAST), "", restored=True)


def test_an_error_after_the_first_step_is_not_damage(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(made.parents[2], tmp_path / "runs") / made.relative_to(made.parents[2])

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("of the metrics")

    monkeypatch.setattr("dlcli.training.scores.Scores.compute", fail)
    with pytest.raises(Exception, match="of the metrics") as raised:
        dlcli.resume(str(folder), ["trainer.max_epochs=2"])
    assert not isinstance(raised.value, CorruptRun)


def test_moments_of_another_shape_are_refused_with_their_name() -> None:
    """As those of a linear model with categories of an earlier version, whose weights are converted."""
    model = torch.nn.Linear(2, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    settle_restored(optimizer, dict(model.named_parameters()))
    optimizer.state[model.weight]["exp_avg"] = torch.zeros(4, 3)
    with pytest.raises(
        ValueError, match=r"exp_avg of weight has the shape \(4, 3\), and the parameter \(4, 2\)"
    ):
        settle_restored(optimizer, dict(model.named_parameters()))
