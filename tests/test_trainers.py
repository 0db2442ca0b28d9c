"""The options of the trainer group, and the experiments that are shipped, under trainer=debug."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import dlcli
from dlcli.config.compose import compose
from dlcli.config.folders import options
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.errors import ConfigError
from dlcli.events import Event, JobEvent, StepsDone
from dlcli.runner.train import train
from dlcli.runs.folder import recorded_epochs
from dlcli.splits.split import Split, limit_splits
from tests.conftest import write_mnist


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_mnist(root, train=300, test=40)
    return root


@pytest.mark.parametrize("experiment", options("experiment"))
def test_an_experiment_runs_from_end_to_end(experiment: str, mnist: Path, tmp_path: Path) -> None:
    words = [f"experiment={experiment}", "trainer=debug", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}'"]
    dataset = compose([f"experiment={experiment}"], supplied=SUPPLIED, by_data=BY_DATA).config["dataset"]
    if "path" in dataset:
        pytest.skip("trains on files of one's own")
    if "root" in dataset:
        words.append(f"dataset.root='{mnist}'")
    if experiment == "mnist_diffusion":
        words += ["model.channels=[8,16]", "task.epoch_samples=40", "trainer.limit_rows=60"]
    result = dlcli.train(words)
    assert result.status == "FINISHED"
    assert result.experiment == experiment
    config = yaml.safe_load((result.run_dir / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 2
    assert len(result.folds) in (0, 2)


def test_debug_takes_few_rows_of_each_part(tmp_path: Path) -> None:
    result = dlcli.train(["trainer=debug", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}'"])
    assert Split.load(result.run_dir / "split.npz").sizes == {"train": 128, "val": 128, "test": 128}
    assert dlcli.evaluate(result.run_id, runs_dir=tmp_path).values["test/loss"] == pytest.approx(
        result.values["test/loss"]
    )


def test_debug_tests_a_refitted_model_on_rows_that_no_fold_has(tmp_path: Path) -> None:
    words = ["dataset=iris", "model=linear", "cv=stratified_kfold", "cv.test_size=0.2", "cv.refit=true"]
    result = dlcli.train(
        [
            *words,
            "trainer=debug",
            "trainer.limit_rows=12",
            "trainer.accelerator=cpu",
            f"runs_dir='{tmp_path}'",
        ]
    )
    whole = Split.load(result.run_dir / "split.npz")
    assert len(whole.test) == 12
    assert len(whole.train) <= 2 * 3 * 12
    assert "test/accuracy" in result.values


def test_limits_keep_some_of_each_class() -> None:
    rows = np.arange(90)
    splits = [Split(rows[10:60], rows[60:], rows[:10])] * 5
    few = limit_splits(splits, 6, 2)
    assert len(few) == 2
    assert few[0].sizes == {"train": 6, "val": 6, "test": 6}
    assert set(few[0].train // 10) == {1, 2, 3, 4, 5}
    assert limit_splits(splits, None, None) is splits


@pytest.mark.parametrize(("steps", "recorded"), [(2, 2), (100, 4)], ids=["all", "as many as there are"])
def test_a_profile_is_in_the_run_s_folder(steps: int, recorded: int, tmp_path: Path) -> None:
    result = dlcli.train(
        [
            "dataset=iris",
            "model=mlp",
            "trainer=profile",
            f"trainer.profiler.steps={steps}",
            "trainer.accelerator=cpu",
            f"runs_dir='{tmp_path}'",
        ]
    )
    folder = result.run_dir / "profile"
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert any(str(event.get("name")).startswith("aten::") for event in events)
    lines = (folder / "operations.txt").read_text().splitlines()
    assert lines[0] == f"CPU time of {recorded} training steps"
    assert lines[2].split()[:2] == ["operation", "calls"]
    assert len(lines) > 5
    assert any("trace.json for ui.perfetto.dev" in message for message in result.messages)


def test_a_missing_gpu_does_not_lead_to_training_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="trainer"):
        dlcli.train(["trainer=gpu", f"runs_dir='{tmp_path}'"])


class PowerCut(BaseException):
    """Stands in for a kill: no code catches it."""


def test_a_run_with_many_arguments_is_killed_and_resumed(tmp_path: Path) -> None:
    """From the command line on: accumulation that changes, a schedule that ends with the last step, partial epochs."""
    words = [
        *("dataset=iris", "model=mlp", "model.hidden=8", "model.dropout=0.2", "dataset.batch_size=8"),
        *("scheduler=cosine", "weight_averaging=ema", "trainer.accelerator=cpu", "trainer.max_epochs=6"),
        *("trainer.limit_train_batches=0.9", "trainer.gradient_clip_val=0.5", "trainer.precision=bf16-mixed"),
        *("trainer.min_epochs=4", "trainer.max_steps=30", "tracking.checkpoint_minutes=1e-9"),
        "callbacks.gather._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler",
        "callbacks.gather.scheduling={0:1,2:3}",
    ]
    whole = dlcli.train([*words, f"runs_dir='{tmp_path}/whole'"])
    steps = itertools.count()

    def cut(event: Event) -> None:
        if isinstance(event, JobEvent) and isinstance(event.event, StepsDone) and next(steps) == 27:
            raise PowerCut

    with pytest.raises(PowerCut):
        train([*words, f"runs_dir='{tmp_path}/killed'"], listen=cut)
    (ledger,) = (tmp_path / "killed").glob("*/*/artifacts/ledger.json")
    resumed = dlcli.resume(ledger.parent)
    assert resumed.values == whole.values
    weights = [run.run_dir / "model" / "weights.safetensors" for run in (whole, resumed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    epochs = [recorded_epochs(run.run_dir) for run in (whole, resumed)]
    assert len(epochs[0]) == 3 + 1  # 11 batches an epoch: 11 + 11 + 4 + 4 steps
    for one, other in zip(*epochs, strict=True):
        assert {**one, "samples_per_second": 0} == {**other, "samples_per_second": 0}


@pytest.mark.parametrize("name", ["SimpleProfiler", "AdvancedProfiler"])
def test_a_profiler_of_lightning_writes_to_the_run_s_folder(name: str, tmp_path: Path) -> None:
    profiler = [
        f"trainer.profiler._target_=pytorch_lightning.profilers.{name}",
        "trainer.profiler.filename=times",
    ]
    words = [
        "dataset=iris",
        "model=linear",
        "trainer=debug",
        "trainer.accelerator=cpu",
        f"runs_dir='{tmp_path}'",
    ]
    result = dlcli.train([*words, *profiler])
    (file,) = (result.run_dir / "profile").glob("*times*")
    assert "training_step" in file.read_text()
