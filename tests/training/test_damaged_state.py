"""A checkpoint that can be read, but not continued from, is a message that says how to start over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dlcli
from dlcli.errors import CorruptRun
from dlcli.tracking.digests import digest
from dlcli.training.epoch_state import LAST, raise_if_damaged

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
        lambda state: state["optimizer_states"][0]["param_groups"][0].update(betas=[1, 2, 3]),
        lambda state: state["loops"]["fit_loop"].update(epoch_progress={}),
        lambda state: state.pop("pytorch-lightning_version"),
        lambda state: state["state_dict"].popitem(),
    ],
    ids=["a moment", "betas", "a loop", "a version", "a weight"],
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
        raise_if_damaged(error, Path(LAST), "")
