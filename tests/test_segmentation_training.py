"""Complete runs on images with masks: training, evaluation, folds, prediction from files, resuming, comparison."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as sklearn

import dlcli
from dlcli.errors import ConfigError, InputError
from dlcli.result import Result
from dlcli.runs.ensembles import open_model
from dlcli.serving.bodies import Body
from dlcli.serving.predictor import Answer, Predictor
from dlcli.splits.split import Split
from tests.same_figures import check_same_figures

SIZE = (20, 28)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 28 images of squares, green or blue, whose first line of pixels has no class."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for row in range(28):
        image = random.integers(0, 60, (*SIZE, 3)).astype(np.uint8)
        mask = np.zeros(SIZE, np.uint8)
        top, left, kind = int(random.integers(2, 10)), int(random.integers(2, 16)), 1 + row % 2
        image[top : top + 9, left : left + 9, kind] += 150
        mask[top : top + 9, left : left + 9] = kind
        mask[0] = 255
        Image.fromarray(image).save(root / "images" / f"d{row % 4}_{row:02}.png")
        Image.fromarray(mask).save(root / "masks" / f"d{row % 4}_{row:02}.png")
    return root


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened)


def of(shapes: Path, *more: str) -> list[str]:
    return [
        "dataset=image_masks",
        f"dataset.path='{shapes}'",
        "dataset.ignore=255",
        "dataset.classes=[ground,green,blue]",
        "model=unet",
        "model.channels=[8,16]",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        f"runs_dir='{shapes.parent / 'runs'}'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(shapes: Path) -> Result:
    return dlcli.train(of(shapes, "trainer.max_epochs=5", "run_name=one", "augmentation=image"))


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_it_learns_and_is_evaluated_from_its_files(trained: Result) -> None:
    assert trained.metrics["test/miou"] > 0.6
    assert trained.metrics["test/miou"] > trained.baselines["test/miou"] + 0.2
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "miou", "dice", "pixel_accuracy", "class_accuracy"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    sums = {
        what: table.loc[
            table["split"] == "final test", [f"{what}({c})" for c in ("ground", "green", "blue")]
        ].sum()
        for what in ("pixels", "predicted", "right")
    }
    iou = [
        r / (p + q - r) for r, p, q in zip(*(sums[w] for w in ("right", "pixels", "predicted")), strict=True)
    ]
    assert trained.metrics["test/miou"] == pytest.approx(np.mean(iou))
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert breakdown.loc[breakdown["split"] == "final test", "iou"].to_numpy() == pytest.approx(np.array(iou))


def test_metrics_are_those_of_scikit_learn_on_all_pixels(
    trained: Result, shapes: Path, tmp_path: Path
) -> None:
    dlcli.predict(trained.run_dir, shapes / "images", files_dir=tmp_path / "masks")
    rows = Split.load(trained.run_dir / "split.npz").test
    names = sorted(file.name for file in (shapes / "masks").iterdir())
    y, found = (
        np.concatenate([pixels_of(folder / "masks" / names[row]).ravel() for row in rows])
        for folder in (shapes, tmp_path)
    )
    y, found = y[y != 255], found[y != 255]
    expected = {
        "miou": sklearn.jaccard_score(y, found, average="macro"),
        "dice": sklearn.f1_score(y, found, average="macro"),
        "pixel_accuracy": sklearn.accuracy_score(y, found),
        "class_accuracy": sklearn.balanced_accuracy_score(y, found),
    }
    assert {name: trained.metrics[f"test/{name}"] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_a_run_on_masks_has_its_plots(trained: Result) -> None:
    names = {file.name for file in (trained.run_dir / "plots").iterdir()}
    assert names >= {"iou.png", "confusion_matrix.png", "worst.png", "learning_curves.png"}


def test_predict_writes_masks_of_the_size_of_the_files(trained: Result, shapes: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(shapes / "images", photos / "a")
    (photos / "b").mkdir()
    large = pixels_of(shapes / "images" / "d0_00.png").repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(large).save(photos / "b" / "d0_00.png")
    table = dlcli.predict(trained.run_dir, photos, files_dir=tmp_path / "masks")
    assert table is not None
    assert len(table) == 29
    shares = table[["share(ground)", "share(green)", "share(blue)"]].sum(axis=1)
    assert shares.to_numpy() == pytest.approx(1)
    assert (tmp_path / "masks" / "classes.txt").read_text().split() == ["ground", "green", "blue"]
    truth, found = (pixels_of(folder / "masks" / "d1_01.png") for folder in (shapes, tmp_path))
    assert (found == truth)[truth != 255].mean() > 0.75
    assert pixels_of(tmp_path / "masks" / "d0_00-2.png").shape == (40, 56)
    assert pixels_of(Path(table["overlay"].iloc[-1])).shape == (40, 56, 3)
    assert dlcli.load_run(trained.run_dir).predict(large[None, ::2, ::2]).shape == (1, 3)


def test_predicted_files_replace_no_other_files(trained: Result, shapes: Path, tmp_path: Path) -> None:
    photos, full = tmp_path / "photos", tmp_path / "full"
    photos.mkdir()
    shutil.copy(shapes / "images" / "d0_00.png", photos)
    before = (photos / "d0_00.png").read_bytes()
    full.mkdir()
    (full / "classes.txt").write_text("mine\n")
    for files, to, message in (
        (photos, photos, "would mix the predicted files with the rows"),
        (photos / "d0_00.png", photos, "would mix the predicted files with the rows"),
        (photos, photos / "masks", "would mix the predicted files with the rows"),
        (photos, full, "has files, which could be replaced"),
        (photos, full / "classes.txt", "is not a folder"),
        (photos, tmp_path / "a" / "b", "there is no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            dlcli.predict(trained.run_dir, files, files_dir=to)
    assert [(photos / "d0_00.png").read_bytes(), (full / "classes.txt").read_text()] == [before, "mine\n"]


def test_new_masks_of_one_class_and_cropped_images(shapes: Path, tmp_path: Path) -> None:
    unnamed = [word for word in of(shapes) if not word.startswith("dataset.classes")]
    run = dlcli.train([*unnamed, "trainer.max_epochs=1", "dataset.size=16", "dataset.fit=crop"])
    for kind in ("images", "masks"):
        (tmp_path / "new" / kind).mkdir(parents=True)
    shutil.copy(shapes / "images" / "d0_00.png", tmp_path / "new" / "images")
    Image.fromarray(np.full(SIZE, 2, np.uint8)).save(tmp_path / "new" / "masks" / "d0_00.png")
    found = dlcli.evaluate(run.run_dir, file=tmp_path / "new")
    assert 0 <= found.metrics["test/pixel_accuracy"] <= 1
    with pytest.warns(UserWarning, match="1 mask of a cropped image in the size of the model"):
        dlcli.predict(run.run_dir, tmp_path / "new" / "images", files_dir=tmp_path / "masks")
    assert pixels_of(tmp_path / "masks" / "d0_00.png").shape == (16, 16)


def test_folds_by_drive_are_pooled(shapes: Path) -> None:
    more = [
        "cv=group_kfold",
        "cv.folds=2",
        'dataset.group="^[^_]+"',
        "trainer.max_epochs=2",
        "dataset.in_memory=false",
    ]
    found = dlcli.train(of(shapes, *more))
    assert 0 <= found.metrics["cv/miou_mean"] <= 1
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(28))
    assert table.groupby(table["row"] // 7)["fold"].nunique().max() == 1  # rows are sorted by drive
    assert (found.run_dir / "plots" / "iou.png").exists()
    explained = dlcli.explain(found.run_dir, runs_dir=shapes.parent / "runs")
    assert (explained.rows, explained.of_rows) == (28, "held-out rows of the folds")
    ground = next(one for one in explained.slices if (one.column, one.value) == ("class", "ground"))
    there, predicted, right = (table[f"{what}(ground)"] for what in ("pixels", "predicted", "right"))
    assert ground.error == pytest.approx(1 - (right / (there + predicted - right)).mean())
    assert ground.rows == 28
    assert ground.low < ground.difference < ground.high
    with pytest.raises(InputError, match=r"no probabilities of classes \(Segmentation\)"):
        dlcli.label(found.run_dir)


def test_two_runs_are_compared_over_images(trained: Result, shapes: Path) -> None:
    other = dlcli.train(of(shapes, "trainer.max_epochs=2", "run_name=two", "task/loss=dice"))
    found = dlcli.compare([trained.run_dir, other.run_dir], runs_dir=shapes.parent / "runs")
    assert found.metric == "miou"
    (pair,) = found.pairs
    assert pair.difference.low <= pair.difference.mean <= pair.difference.high
    assert "bootstrap" in pair.difference.test


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Result, shapes: Path) -> None:
    short = dlcli.train(of(shapes, "trainer.max_epochs=2", "augmentation=image", "run_name=short"))
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=5"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (trained, resumed)]
    assert weights[0] == weights[1]
    assert resumed.metrics["test/loss"] == trained.metrics["test/loss"]


def test_crops_are_trained_on_and_tiles_predicted(shapes: Path, tmp_path: Path) -> None:
    words = of(shapes, "task.tile=16", "task.metrics=[default,boundary_f]", "augmentation=image")
    whole = dlcli.train([*words, "trainer.max_epochs=3", "run_name=tiles"])
    assert 0 <= whole.metrics["test/boundary_f"] <= 1
    again = dlcli.evaluate(whole.run_dir)
    assert again.metrics["test/loss"] == whole.metrics["test/loss"]
    short = dlcli.train([*words, "trainer.max_epochs=1", "run_name=short_tiles"])
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=3"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (whole, resumed)]
    assert weights[0] == weights[1]
    with pytest.raises(InputError, match="this run predicts large images by tiles"):
        dlcli.export(whole.run_dir, tmp_path / "model.pt2")


def test_incompatible_settings_are_refused(shapes: Path, trained: Result, tmp_path: Path) -> None:
    for change, message in (
        ("model=cnn", "CNN has one vector of outputs per row, but the targets of shapes are segmentation"),
        ("task/loss=cross_entropy", "CrossEntropy is for"),
        ("task=multiclass", "Multiclass is for binary or multiclass targets"),
        ("monitor=val/iou", "val/iou is monitored, but never logged"),
    ):
        with pytest.raises(ConfigError, match=message):
            dlcli.check(
                [
                    word
                    for word in of(shapes)
                    if word.split("=")[0] != change.split("=")[0]
                    and not (change == "model=cnn" and word.startswith("model."))
                ]
                + [change]
            )
    with pytest.raises(
        ConfigError, match="UNet has outputs for segmentation, but the targets of digits are multiclass"
    ):
        dlcli.check(["dataset=digits", "model=unet", f"runs_dir='{tmp_path}'"])


def test_files_are_refused_where_predictions_are_a_table_only(tmp_path: Path) -> None:
    run = dlcli.train(["dataset=iris", "model=linear", "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"])
    rows = pd.DataFrame(
        np.ones((2, 4)),
        columns=["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
    )
    rows.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(InputError, match="are only a table"):
        dlcli.predict(run.run_dir, tmp_path / "new.csv", files_dir=tmp_path / "out")


def test_an_answer_over_http_has_the_mask(trained: Result, shapes: Path, tmp_path: Path) -> None:
    file = shapes / "images" / "d0_00.png"
    opened = open_model(str(trained.run_dir), trained.run_dir)
    (answer,) = Predictor(opened.run, opened.model, device="cpu").answer(
        [Body(file.read_bytes(), "image/png")]
    )
    assert isinstance(answer, Answer)
    kind, _, text = str(answer.predictions[0]["mask"]).partition(",")
    assert kind == "data:image/png;base64"
    (tmp_path / "mask.png").write_bytes(base64.b64decode(text))
    dlcli.predict(trained.run_dir, file, files_dir=tmp_path / "files")
    expected = pixels_of(tmp_path / "files" / "d0_00.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "mask.png"), expected)
