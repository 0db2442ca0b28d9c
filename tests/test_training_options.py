"""Complete runs with the options of training, and combinations that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

import dlcli
from dlcli.errors import ConfigError

IRIS = ["dataset=iris", "model=mlp", "model.hidden=16", "trainer.accelerator=cpu"]


def test_everything_at_once_on_images_and_eval_repeats_it(tmp_path: Path) -> None:
    result = dlcli.train(
        [
            "model=resnet",
            "model.channels=[8,16]",
            "optimizer=adamw",
            "scheduler=onecycle",
            "weight_averaging=ema",
            "augmentation=digits",
            "augmentation.mixup=0.1",
            "finder=lr",
            "finder.steps=40",
            "dataset.batch_size=64",
            "trainer.max_epochs=3",
            "trainer.accelerator=cpu",
            f"runs_dir='{tmp_path}'",
        ]
    )
    assert result.metrics["test/accuracy"] > 0.5
    for name, value in dlcli.evaluate(result.run_id, runs_dir=tmp_path).values.items():
        assert value == pytest.approx(result.metrics[name], abs=1e-6)

    config = yaml.safe_load((result.run_dir / "config.yaml").read_text())
    assert config["finder"] == {}
    assert config["optimizer"]["lr"] != 0.001
    assert (result.run_dir / "plots" / "found_lr.png").exists()
    client = MlflowClient(result.tracking_uri)
    run = client.get_run(result.run_id)
    assert run.data.tags["dlcli.found"] == f"optimizer.lr={config['optimizer']['lr']}"
    rates = [entry.value for entry in client.get_metric_history(result.run_id, "lr")]
    assert rates[0] == pytest.approx(config["optimizer"]["lr"] / 25)


def test_a_foreign_callback_from_the_command_line(tmp_path: Path) -> None:
    """Lightning's own: makes the gradients' accumulation change in mid-training, which takes single steps."""
    result = dlcli.train(
        [
            *IRIS,
            "callbacks=none",
            "callbacks.gather._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler",
            "callbacks.gather.scheduling={0:1,2:4}",
            "trainer.max_epochs=3",
            f"runs_dir='{tmp_path}'",
        ]
    )
    assert result.status == "FINISHED"


def test_full_batches_suit_a_quasi_newton_method(tmp_path: Path) -> None:
    result = dlcli.train(
        [
            *IRIS[:1],
            "model=linear",
            "optimizer=lbfgs",
            "dataset.batch_size=full",
            "trainer.max_epochs=5",
            "trainer.accelerator=cpu",
            f"runs_dir='{tmp_path}'",
        ]
    )
    assert result.metrics["test/accuracy"] > 0.85


def test_single_rows_are_batches_but_have_no_spread(tmp_path: Path) -> None:
    single = [*IRIS, "dataset.batch_size=1", "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"]
    assert dlcli.train(single).status == "FINISHED"
    with pytest.raises(ConfigError, match=r"dataset.batch_size: batch normalization cannot compute"):
        dlcli.train([*single, "model.normalization=batch"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["dataset=iris", "model=cnn"], "model: CNN takes audio or image data, but iris is table data"),
        (
            ["dataset=wine", "model=gru"],
            "model: Recurrent takes audio, image, sequence, tokens or words data, but wine is table data",
        ),
        (
            ["dataset=iris", "model=mlp", "augmentation=image"],
            "augmentation: ImageAugmentation takes image data, but iris is table data",
        ),
        (["model.channels=[8,8,8,8]"], "an image of 8 x 8 pixels is too small for block 4 of 4"),
        (["model=transformer", "model.heads=5"], "must be divisible by heads"),
        (
            ["scheduler=cosine", "trainer.max_epochs=-1", "trainer.max_time=00:00:01:00"],
            "scheduler: needs the total number of training steps",
        ),
        (["scheduler=onecycle", "optimizer=adagrad"], "optimizer must support momentum or beta1"),
        (["scheduler=onecycle", "+scheduler.max_lr=1"], "scheduler.max_lr: is set by dlcli itself"),
        (
            ["callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging"],
            "callbacks.ema: EMAWeightAveraging has no effect on the saved weights(.|\n)*weight_averaging=ema",
        ),
        (
            ["callbacks.lr._target_=pytorch_lightning.callbacks.LearningRateFinder"],
            "has no effect on the recorded rate\n  Use finder=lr",
        ),
        (["finder=lr", "finder.start=10", "finder.end=1"], "must be less than end"),
        (
            ["weight_averaging=swa", "trainer.max_epochs=-1"],
            "weight_averaging: SWA requires a known number of epochs",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_pairings_are_reported_before_a_run_exists(
    overrides: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        dlcli.train([*overrides, f"runs_dir='{tmp_path}'"])
    assert not list(tmp_path.rglob("ledger.json"))
