"""Complete runs on images with boxes: training, evaluation, folds, prediction from files, resuming, comparison."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dlcli
from dlcli.errors import ConfigError
from dlcli.experiment import plan_experiment
from dlcli.result import Result
from dlcli.runs.folder import open_run
from dlcli.serving.api import Service
from dlcli.serving.contract import Contract
from dlcli.serving.limits import ServeLimits
from dlcli.serving.model_worker import ModelWorker
from dlcli.serving.predictor import Predictor
from dlcli.sweeps.planning import plan_sweep
from tests.same_figures import check_same_figures
from tests.serving.asking import Asked, ask

pytest.importorskip("timm")

# Height and width of the images.
SIZE = (32, 48)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 32 images of one or two squares, red or blue, in COCO's format."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    images, boxes = [], []
    for row in range(32):
        pixels = random.integers(0, 60, (*SIZE, 3)).astype(np.uint8)
        for half in range(1 + row % 2):
            side, kind = int(random.integers(10, 15)), int(random.integers(0, 2))
            top, left = (
                int(random.integers(0, SIZE[0] - side)),
                int(random.integers(0, 24 - side)) + 24 * half,
            )
            pixels[top : top + side, left : left + side, 2 * kind] += 180
            boxes.append(
                {"id": len(boxes), "image_id": row, "category_id": kind + 1, "bbox": [left, top, side, side]}
            )
        name = f"g{row % 4}_{row:02}.png"
        images.append({"id": row, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        Image.fromarray(pixels).save(root / "images" / name)
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    document = {"images": images, "annotations": boxes, "categories": categories}
    (root / "boxes.json").write_text(json.dumps(document))
    return root


def of(shapes: Path, *more: str) -> list[str]:
    return [
        "dataset=detection",
        f"dataset.path='{shapes}'",
        "model=centernet",
        "model.backbone=resnet10t",
        "model.weights=null",
        "model.arguments={channels:[8,16,16,16]}",
        "model.width=16",
        "model.stride=4",
        "model.detections=10",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        f"runs_dir='{shapes.parent / 'runs'}'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(shapes: Path) -> Result:
    return dlcli.train(of(shapes, "trainer.max_epochs=16", "run_name=one", "augmentation=image"))


@pytest.fixture(scope="module")
def other(shapes: Path) -> Result:
    return dlcli.train(of(shapes, "trainer.max_epochs=2", "run_name=two", "augmentation=image"))


def test_its_figures_do_not_depend_on_batches_and_place(other: Result, tmp_path: Path) -> None:
    check_same_figures(other, tmp_path, by_batch=frozenset({"test/loss"}))  # over the objects of a batch


def test_it_learns_and_is_evaluated_from_its_files(trained: Result) -> None:
    assert trained.metrics["test/map_50"] > 0.4
    assert trained.metrics["test/map_50"] > trained.baselines["test/map_50"] + 0.2
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "map", "map_50", "map_75"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet").query("split == 'final test'")
    assert len(table) == len(json.loads(table["targets"].iloc[0])) + len(table) - int(
        table.iloc[0][["found", "missed"]].sum()
    )
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv").query("split == 'final test'")
    assert breakdown["map_50"].mean() == pytest.approx(trained.metrics["test/map_50"])
    found = dlcli.load_run(trained.run_dir).task
    assert 0 < found.score_threshold < 1


def test_a_run_on_boxes_has_its_plots(trained: Result) -> None:
    names = {file.name for file in (trained.run_dir / "plots").iterdir()}
    assert names >= {"precision_recall.png", "precision_by_overlap.png", "worst.png", "learning_curves.png"}


def test_predict_writes_boxes_in_pixels_of_the_files(trained: Result, shapes: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(shapes / "images", photos)
    with Image.open(photos / "g0_00.png") as opened:
        opened.resize((96, 64), Image.Resampling.NEAREST).save(photos / "z.png")
    table = dlcli.predict(trained.run_dir, photos, files_dir=tmp_path / "out")
    assert table is not None
    assert len(table) == 33
    assert (table["count(red)"] + table["count(blue)"]).tolist() == table["objects"].tolist()
    results = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {result["image_id"] for result in results} <= {file.stem for file in photos.iterdir()}
    lines = pd.read_csv(tmp_path / "out" / "boxes.csv")
    assert lines.groupby("image").size().sum() == table["objects"].sum()
    small, large = (lines[lines["image"] == name][["left", "right"]].to_numpy() for name in ("g0_00", "z"))
    assert len(small) == len(large) > 0
    np.testing.assert_allclose(large, 2 * small, atol=0.1)
    assert json.loads(table["boxes"].iloc[0])[0][0] == pytest.approx(small[0, 0], abs=0.01)
    with Image.open(tmp_path / "out" / "z_overlay.png") as picture:
        assert picture.size == (96, 64)
    arrays = np.stack([np.asarray(Image.open(photos / "g0_00.png"))])
    assert dlcli.load_run(trained.run_dir).predict(arrays)["boxes"].iloc[0] == table["boxes"].iloc[0]


def test_a_server_answers_an_image_with_its_boxes(trained: Result, shapes: Path) -> None:
    opened, limits = open_run(str(trained.run_dir), shapes.parent / "runs"), ServeLimits()
    predictor = Predictor(opened, opened.load_model(), limits=limits, device="cpu")
    worker = ModelWorker(predictor.answer, limits.queue)
    service = Service(Contract(opened, predictor, limits), worker, limits, "", True)
    file = shapes / "images" / "g1_01.png"
    try:
        (got,) = ask(service, Asked("POST", "/predict", file.read_bytes(), {"Content-Type": "image/png"}))
    finally:
        worker.close()
    assert got.status == 200, got.content
    (answer,) = got.json()["predictions"]
    table = dlcli.predict(trained.run_dir, [file])
    assert table is not None
    assert answer["boxes"] == table["boxes"].iloc[0]
    assert answer["objects"] == len(json.loads(answer["boxes"])) > 0


def test_an_exported_program_finds_the_same_boxes(trained: Result, shapes: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    exported = dlcli.export(trained.run_dir, tmp_path / "net.onnx")
    assert exported.largest_difference < 1e-4
    files = sorted((shapes / "images").iterdir())[:3]
    images = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    session = runtime.InferenceSession(exported.file, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    found = session.run(None, {taken.name: images.astype(np.uint8)})[0].reshape(3, -1, 6)
    threshold = dlcli.load_run(trained.run_dir).task.score_threshold
    for own, file in zip(found, files, strict=True):
        table = dlcli.predict(trained.run_dir, [file])
        assert table is not None
        expected = json.loads(table["boxes"].iloc[0])
        sure = own[(own[:, 4] >= threshold) & (own[:, 5] >= 0)]
        assert len(sure) == len(expected)
        pixels = sure[:, :4] * [SIZE[1], SIZE[0], SIZE[1], SIZE[0]]
        np.testing.assert_allclose(pixels, [box[:4] for box in expected], atol=0.02)
        assert [("red", "blue")[int(code)] for code in sure[:, 5]] == [box[5] for box in expected]


def test_a_file_of_new_rows_is_evaluated(trained: Result, shapes: Path, tmp_path: Path) -> None:
    document = json.loads((shapes / "boxes.json").read_text())
    blue = [box for box in document["annotations"] if box["category_id"] == 2]
    named = {box["image_id"] for box in blue}
    images = [image for image in document["images"] if image["id"] in named]
    (tmp_path / "new").mkdir()
    for image in images:
        shutil.copy(shapes / "images" / image["file_name"], tmp_path / "new")
    (tmp_path / "new" / "a.json").write_text(
        json.dumps({"images": images, "annotations": blue, "categories": [{"id": 2, "name": "blue"}]})
    )
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "new")
    assert 0 <= found.metrics["test/map"] <= 1


def test_folds_by_group_are_pooled_with_intervals(shapes: Path) -> None:
    more = ["cv=group_kfold", "cv.folds=2", "dataset.group='^[^_]+'", "trainer.max_epochs=2"]
    found = dlcli.train(of(shapes, *more, "dataset.in_memory=false"))
    low, mean, high = (found.metrics[f"cv/map_50_{name}"] for name in ("ci95_low", "mean", "ci95_high"))
    assert low <= mean <= high
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(32))
    assert table.groupby(table["row"] // 8)["fold"].nunique().max() == 1  # rows are sorted by group
    assert (found.run_dir / "plots" / "precision_recall.png").exists()


def test_two_runs_are_compared_over_images(trained: Result, other: Result, shapes: Path) -> None:
    found = dlcli.compare([trained.run_dir, other.run_dir], runs_dir=shapes.parent / "runs")
    assert found.metric == "map_50"
    (pair,) = found.pairs
    assert pair.difference.low <= pair.difference.mean <= pair.difference.high
    assert "bootstrap" in pair.difference.test


def test_a_run_that_was_stopped_ends_with_the_same_bits(other: Result, shapes: Path) -> None:
    short = dlcli.train(of(shapes, "trainer.max_epochs=1", "augmentation=image", "run_name=short"))
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=2"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (other, resumed)]
    assert weights[0] == weights[1]
    assert resumed.metrics["test/loss"] == other.metrics["test/loss"]


def test_incompatible_settings_are_refused(shapes: Path) -> None:
    for change, message in (
        ("model=unet", "UNet has outputs for segmentation, but the targets of shapes are detection"),
        ("task=multiclass", "Multiclass is for binary or multiclass targets"),
        ("monitor=train/map", "train/map is monitored, but never logged"),
        ("augmentation.mixup=0.2", "boxes of two images cannot be mixed"),
        ("model.backbone=resnet10", "resnet10"),
    ):
        words = [word for word in of(shapes) if change != "model=unet" or not word.startswith("model")]
        with pytest.raises(ConfigError, match=message):
            dlcli.check([*words, "augmentation=image", change])


def test_trials_are_not_compared_by_losses_that_differ(shapes: Path) -> None:
    planned = plan_sweep(of(shapes, "model.box_weight=1,5", "trainer.max_epochs=1"), [], None)
    assert [(one.metric, one.mode) for one in planned.objectives] == [("val/map_50", "max")]
    both = ["dataset=detection", f"dataset.path='{shapes}'", "model.weights=null", "model.backbone=resnet10t"]
    for words in (
        of(shapes, "model.box_weight=1,5"),
        [*both, "sweep=auto", "sweep.models=[centernet,detector]", "trainer.max_epochs=1"],
    ):
        with pytest.raises(ConfigError, match="changes the loss, which the model computes") as refused:
            plan_sweep([*words, "monitor=val/loss"], [], None)
        assert "monitor=val/map_50" in refused.value.problems[0].hint
    only = plan_experiment(of(shapes, "task.metrics=[map]"))
    assert only.config["monitor"] == "val/loss", "map_50 is not computed"
