"""`model.weights=RUN`: weights that are loaded, refused and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import dlcli
from dlcli.assembly.starting_weights import start_from
from dlcli.errors import ConfigError, RunNotFound
from dlcli.models.mlp import MLP
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger


def train(folder: Path, *overrides: str) -> Result:
    return dlcli.train(
        [
            "model=mlp",
            "model.hidden=8",
            "trainer.max_epochs=1",
            "trainer.accelerator=cpu",
            f"runs_dir='{folder}'",
            *overrides,
        ]
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("runs"), "dataset=iris", "run_name=first")


@pytest.mark.parametrize("how", ["name", "prefix", "folder"])
def test_a_run_starts_where_another_ended(source: Result, how: str, tmp_path: Path) -> None:
    runs = source.run_dir.parents[2]
    given = {"name": "first", "prefix": source.run_id[:8], "folder": str(source.run_dir)}[how]
    # A tiny learning rate changes nothing, so the result shows the initial weights.
    result = train(runs, "dataset=iris", f"model.weights='{given}'", "optimizer.lr=1e-12")
    before, after = (load_file(run.run_dir / "model" / "weights.safetensors") for run in (source, result))
    for name, values in before.items():
        torch.testing.assert_close(after[name], values)
    tags = Ledger.load(result.run_dir).tags
    assert tags["dlcli.weights_run"] == source.run_id
    assert len(tags["dlcli.weights_fingerprint"]) == 32
    assert dlcli.evaluate(result.run_id, runs_dir=runs).metrics["test/loss"] == pytest.approx(
        source.metrics["test/loss"], rel=1e-5
    )


def test_only_the_last_layer_may_be_of_another_shape(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    three = MLP((4,), 3, hidden=8)
    save_file(three.state_dict(), tmp_path / "weights.safetensors")
    five = MLP((4,), 5, hidden=8)
    drawn = list(five.state_dict().values())[-2].clone()
    start_from(five, tmp_path / "weights.safetensors")
    old, new = list(three.state_dict().values()), list(five.state_dict().values())
    for one, other in zip(old[:-2], new[:-2], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(new[-2], drawn)
    with pytest.raises(
        ConfigError, match=r"model.weights: the weights do not fit the model: .*of another shape"
    ):
        start_from(MLP((7,), 3, hidden=8), tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.hidden=16"], r"model.weights: the weights do not fit the model: .* of another shape"),
        (["model.layers=3"], r"2 of another shape: layers.5.weight"),
        (["cv.seed=1"], r"was trained on \d+ of the \d+ validation and test rows"),
        (["cv=kfold"], "validation and test rows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_incompatible_settings_are_reported_before_a_run_exists(
    source: Result, overrides: list[str], told: str
) -> None:
    runs = source.run_dir.parents[2]
    before = len(list(runs.rglob("ledger.json")))
    with pytest.raises(ConfigError, match=told):
        train(runs, "dataset=iris", "model.weights=first", *overrides)
    assert len(list(runs.rglob("ledger.json"))) == before


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="there is no run nowhere in "):
        train(tmp_path, "dataset=iris", "model.weights=nowhere")
