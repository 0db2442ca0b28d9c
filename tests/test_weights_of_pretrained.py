"""`model.weights=RUN` for models with a backbone: the head of the run is loaded too, and mismatches are reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dlcli.errors import ConfigError, RunNotFound
from dlcli.result import Result
from dlcli.runner.evaluate import evaluate
from dlcli.runner.train import train as run_train
from dlcli.tracking.ledger import Ledger

MODEL = [
    "model=pretrained_image", "model.architecture=test_resnet", "model.weights=null", "model.input_size=16",
    "model.mean=[0.4,0.5,0.5]", "trainer=debug", "trainer.accelerator=cpu",
]  # fmt: skip


def train(runs: Path, *overrides: str) -> Result:
    return run_train([*MODEL, f"runs_dir='{runs}'", *overrides])


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("runs"), "run_name=c1")


@pytest.mark.parametrize("how", ["c1", "prefix", "file", "elsewhere"])
def test_a_pretrained_model_starts_from_the_weights_of_a_run(
    frozen: Result, how: str, tmp_path: Path
) -> None:
    runs, file = frozen.run_dir.parents[2], frozen.run_dir / "model" / "weights.safetensors"
    shutil.copy(file, tmp_path / "saved.safetensors")
    given = {
        "prefix": frozen.run_id[:8],
        "file": str(file),
        "elsewhere": str(tmp_path / "saved.safetensors"),
    }.get(how, how)
    # With a negligible learning rate, the weights are still the initial ones, including the head's.
    result = train(runs, f"model.weights='{given}'", "finetune=fine_tuning", "optimizer.lr=1e-12")
    before, after = load_file(file), load_file(result.run_dir / "model" / "weights.safetensors")
    for name, values in before.items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(after[name], values)
    tags = Ledger.load(result.run_dir).tags
    assert tags.get("dlcli.weights_run") == (None if how == "elsewhere" else frozen.run_id)
    assert len(tags["dlcli.weights_fingerprint"]) == 32
    evaluated = evaluate(str(result.run_dir), runs_dir=runs).values
    assert evaluated["test/loss"] == pytest.approx(result.values["test/loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cv.seed=1"], r"model.weights: c1 was trained on \d+ of the \d+ validation and test rows"),
        (["model.mean=null"], r"another pixel mean\n.*model.mean=\[0.466667\] model.std=\[0.5\]"),
        (["model.hidden=8"], r"model.weights: the weights do not fit the model: .*head"),
        (["model.architecture=test_vit"], "does not fit test_vit: .*missing"),
        (["model.input_size=32", "model.weights=c2"], "no such file\n.*hub downloads timm's"),
    ],
    ids=["leak", "scale", "head", "architecture", "no run"],
)
def test_mismatches_are_reported_before_a_run_exists(
    frozen: Result, overrides: list[str], message: str
) -> None:
    runs = frozen.run_dir.parents[2]
    before = len(list(runs.rglob("ledger.json")))
    with pytest.raises((ConfigError, RunNotFound), match=message):
        train(runs, "model.weights=c1", *overrides)
    assert len(list(runs.rglob("ledger.json"))) == before


def test_a_head_with_another_number_of_classes_is_initialized_at_random(
    frozen: Result, tmp_path: Path
) -> None:
    state = load_file(frozen.run_dir / "model" / "weights.safetensors")
    last = [name for name in state if name.startswith("head.")]
    save_file({**state, **{name: state[name][:7] for name in last}}, tmp_path / "seven.safetensors")
    result = train(tmp_path / "runs", f"model.weights='{tmp_path / 'seven.safetensors'}'")
    after = load_file(result.run_dir / "model" / "weights.safetensors")
    assert after[last[0]].shape[0] == 10
    assert torch.equal(after["backbone.conv1.0.weight"], state["backbone.conv1.0.weight"])
