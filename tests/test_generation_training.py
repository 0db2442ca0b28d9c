"""Complete runs of image generation: training, metrics, folds, generated files, resuming, comparison, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import dlcli
from dlcli.assembly import judge_training
from dlcli.assembly.run_judge import judge_of_run
from dlcli.errors import ConfigError, InputError, RunNotFound
from dlcli.experiment import plan_experiment
from dlcli.inference.saved_model import load_model
from dlcli.result import Result
from dlcli.runner.export import bundle
from dlcli.tasks.generate import drawn_noise

SMALL = ["dataset=digits", "trainer.limit_rows=300", "trainer.accelerator=cpu", "callbacks=none"]
GAN = ["model=dcgan", "model.channels=[8,16]", "model.noise=8", "optimizer.betas=[0.5,0.99]"]
FLOW = ["model=diffusion", "model.channels=[8,8]", "model.steps=2", "weight_averaging=ema"]


@pytest.fixture(scope="module", autouse=True)
def _quick_judge() -> Iterator[None]:
    """Fewer steps are enough for digits of 8 x 8 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge_training, "_STEPS", 100)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def of(runs: Path, *more: str) -> list[str]:
    return [*SMALL, f"runs_dir='{runs}'", *more]


@pytest.fixture(scope="module")
def gan(runs: Path) -> Result:
    return dlcli.train(of(runs, *GAN, "trainer.max_epochs=3", "run_name=gan"))


@pytest.fixture(scope="module")
def flow(runs: Path) -> Result:
    return dlcli.train(of(runs, *FLOW, "trainer.max_epochs=3", "run_name=flow", "optimizer.lr=0.01"))


def epochs_of(run: Result) -> list[dict[str, float]]:
    lines = (run.run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_gan_is_judged_from_its_files(gan: Result) -> None:
    names = ("loss", "frechet", "kernel_distance", "recognized", "diversity", "modes")
    again = dlcli.evaluate(gan.run_dir)
    for name in names:
        assert np.isfinite(gan.values[f"test/{name}"])
        assert again.values[f"test/{name}"] == gan.values[f"test/{name}"]
    # The best that can be expected beside the worst: training rows in place of made images, and noise.
    assert gan.baselines["training_rows/test/frechet"] < 0.5 * gan.baselines["test/frechet"]
    assert gan.baselines["training_rows/test/recognized"] > 0.8
    table = pd.read_parquet(gan.run_dir / "predictions.parquet")
    test = table[table["split"] == "final test"]
    assert (test["class"] == test["recognized_as"]).mean() == pytest.approx(gan.values["test/recognized"])
    breakdown = pd.read_csv(gan.run_dir / "breakdown.csv")
    assert set(breakdown.columns) == {"split", "class", "made", "seen", "recognized", "diversity"}
    assert breakdown.loc[breakdown["split"] == "final test", "made"].sum() == len(test)


def test_both_networks_are_watched(gan: Result) -> None:
    config = (gan.run_dir / "config.yaml").read_text()
    assert "monitor: val/frechet" in config  # a GAN's loss does not tell which epoch is best
    text = (gan.run_dir / "metrics.jsonl").read_text()
    for name in ("generator_loss", "discriminator_loss", "generator_gradient_norm"):
        assert f"train/{name}" in text
    pictures = {file.stem for file in (gan.run_dir / "plots").iterdir()}
    assert {"samples", "samples_by_epoch", "interpolation", "nearest", "turns", "recognized"} <= pictures
    assert len(list((gan.run_dir / "samples").glob("epoch_*.png"))) == 3
    assert any("equal to a training row" in message for message in gan.messages)
    rests_on = "Images evaluated: 216 in each epoch, 216 val, 300 test."
    assert any(rests_on in message and "Below 320" in message for message in gan.messages)
    assert "nearest/close" in text and "nearest/copies" in text
    assert any("val/frechet was lowest" in message for message in gan.messages)


def test_a_flow_learns_with_one_loss(flow: Result) -> None:
    assert flow.values["test/loss"] < 1.1
    assert "train/generator_loss" not in (flow.run_dir / "metrics.jsonl").read_text()
    assert not (flow.run_dir / "plots" / "turns.png").exists()


def test_images_are_made_as_files_with_a_table(gan: Result, runs: Path, tmp_path: Path) -> None:
    images, made = dlcli.generate(gan.run_dir, 5, seed=3, classes=["7", "1"], files_dir=tmp_path / "a")
    assert made["class"].tolist() == ["7", "1", "7", "1", "7"]
    assert made["file"].tolist() == [f"{number}.png" for number in range(1, 6)]
    with Image.open(tmp_path / "a" / "grid.png") as grid:
        assert grid.size == (3 * 10 - 2, 2 * 10 - 2)
    pixels = [np.asarray(Image.open(tmp_path / "a" / name)) for name in made["file"]]
    assert images.shape == (5, 8, 8)
    assert all(np.array_equal(*pair) for pair in zip(pixels, images, strict=True))
    # More of the same seed begin with the same images; another seed gives others.
    more, _ = dlcli.generate(gan.run_dir, 6, seed=3, classes=["7", "1"])
    assert np.array_equal(more[:5], images)
    others, _ = dlcli.generate(gan.run_dir, 1, seed=4, classes=["7"])
    assert not np.array_equal(others[0], images[0])


@pytest.mark.parametrize("kind", ["gan", "flow"])
def test_the_program_makes_the_same_images(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run: Result = request.getfixturevalue(kind)
    found = dlcli.export(run.run_dir, tmp_path / "images.pt2")
    assert found.rows == 8 and found.largest_difference < 1e-4
    told = json.loads(found.description.read_text())
    shape = tuple(told["inputs"][0]["shape"][1:])
    made = torch.export.load(found.file).module()(noise=drawn_noise([5, 6], shape), y=torch.tensor([3, 9]))
    model = load_model(run.run_dir / "model")
    task: Any = model.task
    pixels = ((made + 1) * 127.5).round().clamp(0, 255)
    expected = task.made(model.network.eval(), torch.tensor([[3, 5], [9, 6]]))
    assert (pixels - expected).abs().max() <= 1  # of rounding
    with pytest.raises(InputError, match="makes images, and a bundle predicts rows"):
        bundle(str(run.run_dir), tmp_path / "made")


def test_incompatible_settings_are_refused(gan: Result, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Generate has no error of single rows"):
        dlcli.explain(gan.run_dir)
    with pytest.raises(InputError, match="there is no class nine"):
        dlcli.generate(gan.run_dir, 2, classes=["nine"])
    for use in (
        lambda: dlcli.predict(gan.run_dir, tmp_path),
        lambda: dlcli.load_run(gan.run_dir).predict(np.zeros((2, 8, 8), np.uint8)),
    ):
        with pytest.raises(InputError, match="DCGAN generates images, and cannot predict rows"):
            use()
    with pytest.raises(ConfigError) as wrong:
        dlcli.train(
            of(runs, *GAN, "trainer.gradient_clip_val=1.0", "finder=lr", "augmentation=image",
               "augmentation.mixup=0.2", "trainer.accumulate_grad_batches=2")
        )  # fmt: skip
    places = {problem.where for problem in wrong.value.problems}
    assert {
        "trainer.gradient_clip_val",
        "trainer.accumulate_grad_batches",
        "finder",
        "augmentation.mixup",
    } <= places
    with pytest.raises(
        ConfigError, match="CNN has one vector of outputs per row, but the task is to generate images"
    ):
        dlcli.train(of(runs, "task=generate", "model=cnn"))
    with pytest.raises(ConfigError, match="DCGAN has outputs for generate") as wrong:
        dlcli.train(of(runs, "model=dcgan", "task=multiclass"))
    assert len(wrong.value.problems) == 1
    with pytest.raises(ConfigError, match="dcgan makes images, cnn predicts classes: no metric compares"):
        dlcli.sweep(of(runs, "model=dcgan", "sweep=auto", "sweep.models=[dcgan,cnn]"))


def test_a_metric_that_the_user_names_is_monitored(runs: Path) -> None:
    for words, monitored in (([], "val/frechet"), (["monitor=val/loss"], "val/loss")):
        planned = plan_experiment(["dataset=digits", *GAN, "trainer.limit_rows=60", *words])
        assert planned.config["monitor"] == monitored
        callbacks = [node["monitor"] for node in planned.config["callbacks"].values() if node]
        assert callbacks == [monitored] * len(callbacks) != []


def test_a_classifier_of_an_earlier_run_judges_folds(runs: Path, tmp_path: Path) -> None:
    small = ["model.channels=[8,16]", "model.hidden=0", "optimizer.lr=0.01", "dataset.batch_size=16"]
    seen = dlcli.train(of(runs, "model=cnn", *small, "trainer.max_epochs=8", "run_name=seen"))
    words = ["task=generate", "task.judge=seen", "trainer.max_epochs=1", "cv=kfold", "cv.folds=2"]
    folds = dlcli.train(of(runs, *GAN, *words))
    assert {"cv/frechet_mean", "cv/recognized_mean"} <= set(folds.values)
    assert str(seen.run_dir) in (folds.run_dir / "config.yaml").read_text()
    first = sorted(runs.glob("digits/*/artifacts/outputs.npz"))[0].parent
    recorded = json.loads((first / "ledger.json").read_text())["metrics"]
    assert recorded["baseline/training_rows/test/recognized"] > 0.5
    # The judge is saved with the model, whose folder suffices.
    moved = tmp_path / "moved"
    seen.run_dir.rename(moved)
    assert dlcli.evaluate(first).values["test/frechet"] == recorded["test/frechet"]
    moved.rename(seen.run_dir)
    with pytest.raises(ConfigError, match="is not a classifier of images"):
        dlcli.train(of(runs, *GAN, "task=generate", f"task.judge='{first}'"))
    with pytest.raises(RunNotFound) as missing:
        dlcli.train(of(runs, *GAN, "task=generate", "task.judge=nothere"))
    assert missing.value.problems[0].where == "task.judge"
    judge, name = judge_of_run({"task": {"judge": "seen"}, "runs_dir": runs}, (1, 8, 8), list("9876543210"))
    assert name.startswith("seen (")
    images = torch.randint(0, 256, (5, 1, 8, 8)).byte()
    outputs = load_model(seen.run_dir / "model").outputs(images[:, 0].numpy())
    torch.testing.assert_close(judge.raw(images)[1], outputs.flip(1))  # in the order of the classes asked for
    with pytest.raises(ConfigError, match="has other classes"):
        judge_of_run({"task": {"judge": "seen"}, "runs_dir": runs}, (1, 8, 8), ["a", "b"])
    with pytest.raises(ConfigError, match=r"takes images of 1 x 8 x 8 .* but these are 3 x 8 x 8"):
        judge_of_run({"task": {"judge": "seen"}, "runs_dir": runs}, (3, 8, 8), list("0123456789"))


def test_a_resumed_run_is_the_whole_run_bit_for_bit(gan: Result, runs: Path) -> None:
    part = dlcli.train(of(runs, *GAN, "trainer.max_epochs=1"))
    longer = dlcli.resume(part.run_dir, ["trainer.max_epochs=3"])
    assert longer.values == gan.values
    own, other = ((run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (gan, longer))
    assert own == other


def test_models_are_compared(gan: Result, flow: Result, runs: Path) -> None:
    compared = dlcli.compare([gan.run_dir, flow.run_dir], metric="recognized", runs_dir=runs)
    assert "recognized" in json.dumps(compared.to_json(), default=str)
