"""Image files: folders, archives and tables of them, damaged files, and rows that stay in their files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dlcli.datasets.image_folder import load
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.errors import DataError
from dlcli.preprocessing.image import Image as ImagePreprocessing
from dlcli.runner.train import train
from dlcli.splits.holdout import Holdout
from dlcli.training.loader import BatchLoader


def paint(file: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    channels = () if mode == "L" else (3,)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with train/ and test/ of two classes, with various suffixes and sizes."""
    root = tmp_path / "photos"
    for number in range(6):
        suffix = ("png", "jpg", "bmp", "webp", "png", "JPG")[number]
        paint(root / "train" / "cat" / f"{number}.{suffix}", number, (8 + number, 10))
        paint(root / "train" / "dog" / f"{number}.{suffix}", 10 + number, (9, 8))
    paint(root / "test" / "cat" / "a.png", 20)
    paint(root / "test" / "dog" / "b.png", 21, mode="L")
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    return root


def test_a_folder_with_train_and_test(photos: Path) -> None:
    data = load(str(photos), size=(6, 5))
    assert data.x.shape == (14, 6, 5, 3)
    assert data.classes == ("cat", "dog")
    assert data.name == "photos"
    assert data.test_rows is not None
    assert data.y[data.test_rows].tolist() == [0, 1]
    assert len(data.test_rows) == 2
    assert "in memory" in data.note


def test_a_tar_is_read_without_unpacking(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, "some/photos")
    with tarfile.open(tmp_path / "photos.tgz", "w:gz") as tar:
        tar.add(photos, "photos")
    folder, tar_ = load(str(photos), size=6), load(str(tmp_path / "photos.tar"), size=6)
    assert np.array_equal(folder.x, tar_.x)
    assert np.array_equal(folder.y, tar_.y)
    with pytest.raises(DataError, match=r"compressed archive .*\n.*tar xf photos.tgz"):
        load(str(tmp_path / "photos.tgz"))


def test_a_table_of_paths_to_images_is_read(photos: Path) -> None:
    (photos / "labels.csv").write_text("file,kind,age\ntrain/cat/0.png,7,1.5\ntrain/dog/0.png,12,2\n")
    assert load(str(photos / "labels.csv"), target="kind", size=4).classes == ("7", "12")
    ages = load(str(photos / "labels.csv"), target="age", size=4)
    assert (ages.target_kind, ages.targets, ages.y.tolist()) == ("regression", ("age",), [1.5, 2.0])
    with pytest.raises(DataError, match=r"no column knd in labels.csv\n  Did you mean kind"):
        load(str(photos / "labels.csv"), target="knd")
    (photos / "labels.csv").write_text("file,kind\ntrain/cat/0.png,a\ntrain/cat/zero.png,b\n")
    with pytest.raises(DataError, match=r"labels.csv:3: there is no file train/cat/zero.png"):
        load(str(photos / "labels.csv"), target="kind")


def test_a_table_may_have_several_targets(photos: Path) -> None:
    table = photos / "labels.csv"
    table.write_text("file,red,blue,x\ntrain/cat/0.png,1,0,0.5\ntrain/dog/0.png,1,1,2\n")
    data = load(str(table), target=["red", "blue"], size=4)
    assert (data.target_kind, data.classes, data.y.tolist()) == (
        "multilabel",
        ("red", "blue"),
        [[1, 0], [1, 1]],
    )
    data = load(str(table), target=["x", "blue"], size=4)
    assert (data.target_kind, data.targets, data.y.tolist()) == (
        "regression",
        ("x", "blue"),
        [[0.5, 0], [2, 1]],
    )
    table.write_text("file,red,blue\ntrain/cat/0.png,1,0\ntrain/dog/0.png,yes,1\n")
    with pytest.raises(DataError, match=r"labels.csv:3, column red.*\n?.*'yes'"):
        load(str(table), target=["red", "blue"], size=4)
    table.write_text("file,red,blue\ntrain/cat/0.png,1,0\ntrain/dog/0.png,,1\n")
    with pytest.raises(DataError, match=r"labels.csv:3, column red: the target is missing"):
        load(str(table), target=["red", "blue"], size=4)
    with pytest.raises(DataError, match=r"no column green in labels.csv"):
        load(str(table), target=["red", "green"], size=4)
    lists = [
        {"file": "train/cat/0.png", "tags": ["soft", "old"]},
        {"file": "train/dog/0.png", "tags": ["old"]},
    ]
    pd.DataFrame(lists).to_json(photos / "t.jsonl", orient="records", lines=True)
    data = load(str(photos / "t.jsonl"), target="tags", size=4)
    assert (data.target_kind, data.classes, data.y.tolist()) == (
        "multilabel",
        ("old", "soft"),
        [[1, 1], [1, 0]],
    )


def test_a_table_defines_the_test_rows(photos: Path) -> None:
    table, rows = photos / "labels.csv", ("0.png,a,train", "1.jpg,b,train", "2.bmp,a,valid", "0.png,b,test")
    table.write_text("file,kind,part\n" + "".join(f"train/cat/{row}\n" for row in rows))
    data = load(str(table), target="kind", split="part", size=4)
    assert (data.val_rows.tolist(), data.test_rows.tolist()) == ([2], [3])
    (split,) = Holdout().splits(data)
    assert split.sizes == {"train": 2, "val": 1, "test": 1}
    table.write_text(table.read_text().replace("valid", "vlid"))
    with pytest.raises(DataError, match=r"labels\.csv:4, column part: 'vlid' is not a part of a split"):
        load(str(table), target="kind", split="part", size=4)


def test_labels_stay_as_they_are_written(photos: Path) -> None:
    table = photos / "labels.csv"
    files = [f"train/cat/{name}" for name in ("0.png", "1.jpg", "2.bmp")]
    for classes in (("NA", "None", "x"), ("007", "7", "10")):
        rows = [f"{file},{label}\n" for file, label in zip(files, classes, strict=True)]
        table.write_text("file,kind\n" + "".join(rows))
        assert load(str(table), target="kind", size=4).classes == classes
    table.write_text("")
    with pytest.raises(DataError, match=r"labels.csv: is empty"):
        load(str(table), target="kind")
    table.write_text(f"file,kind\n{files[0]},a\n,b\n")
    with pytest.raises(DataError, match=r"labels.csv:3, column file: file is empty"):
        load(str(table), target="kind")
    table.write_text(f"file,kind\n{files[0]},a\n{files[1]},\n")
    with pytest.raises(DataError, match=r"labels.csv:3, column kind: the target is missing"):
        load(str(table), target="kind")


@pytest.mark.parametrize("name", ["t.jsonl", "t.xlsx", "t.csv.gz"])
def test_tables_of_other_formats(photos: Path, name: str) -> None:
    frame = pd.DataFrame({"file": ["train/cat/0.png", "train/dog/0.png"], "age": [1.5, 2.0], "code": [7, 12]})
    if name == "t.xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(photos / name, index=False)
    elif name == "t.jsonl":
        frame.to_json(photos / name, orient="records", lines=True)
    else:
        frame.to_csv(photos / name, index=False)
    assert load(str(photos / name), target="age", size=4).y.tolist() == [1.5, 2.0]
    assert load(str(photos / name), target="code", size=4).classes == ("7", "12")


def test_images_are_grey_if_all_are_grey_and_upright_by_exif(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        paint(tmp_path / "grey" / name, 0, (4, 7), mode="L")
    assert load(str(tmp_path / "grey")).x.shape == (2, 4, 7)
    assert load(str(tmp_path / "grey"), color="rgb").x.shape == (2, 4, 7, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (7, 4))
    for name in ("a", "b"):
        (tmp_path / "held" / name).mkdir(parents=True)
        image.save(tmp_path / "held" / name / "1.jpg", exif=exif)
    assert load(str(tmp_path / "held")).x.shape == (2, 7, 4, 3)


def test_crop_keeps_proportions_and_stretch_keeps_everything(tmp_path: Path) -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(wide).save(tmp_path / name / "1.png")
    assert load(str(tmp_path), size=4).x.min() == 255
    assert load(str(tmp_path), size=4, fit="stretch").x.min() == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", r"train/cat/empty.jpg: is empty \(0 bytes\)"),
        ("words.jpg", b"not an image", "train/cat/words.jpg: is not an image"),
        ("cut.jpg", None, "train/cat/cut.jpg: cannot be decoded: "),
    ],
    ids=["empty", "words", "cut"],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_damaged_file_is_reported_or_left_out(
    photos: Path, name: str, content: bytes | None, message: str, in_memory: bool
) -> None:
    whole = load(str(photos), size=6)
    if content is None:
        paint(photos / "train" / "cat" / name, 1, (64, 64))
        content = (photos / "train" / "cat" / name).read_bytes()[:-300]
    (photos / "train" / "cat" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        np.asarray(load(str(photos), size=6, in_memory=in_memory).x)
    left = load(str(photos), size=6, on_bad="skip", in_memory=in_memory)
    texts = {notice.key: notice.text for notice in left.notices}
    assert texts["damaged_files"] == f"1 damaged image left out: train/cat/{name}"
    assert np.array_equal(np.asarray(left.x), whole.x)
    assert np.array_equal(left.y, whole.y)


def test_a_broken_link_is_a_damaged_file(photos: Path) -> None:
    (photos / "train" / "cat" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"train/cat/gone.png: is empty"):
        load(str(photos), size=6)
    left = load(str(photos), size=6, on_bad="skip")
    assert "1 damaged image left out: train/cat/gone.png" in [notice.text for notice in left.notices]


def test_invalid_folders_are_reported(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pixels, others are 9 x 8\n.*dataset.size=96"):
        load(str(photos))
    (photos / "train" / "bird").mkdir()
    with pytest.raises(DataError, match="train/bird: the class folder contains no image"):
        load(str(photos), size=6)
    assert load(str(photos), size=6, on_bad="skip").classes == ("cat", "dog")
    paint(tmp_path / "one" / "cat" / "1.png", 0)
    with pytest.raises(DataError, match="there is only one class: cat"):
        load(str(tmp_path / "one"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="contains no folder with images"):
        load(str(tmp_path / "none"))
    with pytest.raises(DataError, match="no such file or folder"):
        load(str(tmp_path / "absent"))


def test_images_in_files_are_the_same_rows_in_the_same_order(photos: Path) -> None:
    memory, files = (load(str(photos), size=6, in_memory=where) for where in (True, False))
    assert isinstance(files.x, ImageFiles)
    assert files.x.shape == memory.x.shape
    assert files.fingerprint == memory.fingerprint
    rows = np.array([3, 0, 7, 9, 2])
    fitted = [ImagePreprocessing().fit(data.x[rows]) for data in (memory, files)]
    assert np.array_equal(fitted[0].mean_, fitted[1].mean_)
    fields = [one.transform(data.x)["x"] for one, data in zip(fitted, (memory, files), strict=True)]
    loaders = [
        BatchLoader(
            {"x": torch.as_tensor(x) if isinstance(x, np.ndarray) else x}, 4, shuffle=True, chunk=chunk
        )
        for x, chunk in zip(fields, (None, 2), strict=True)
    ]
    for epoch in range(2):
        for loader in loaders:
            loader.epoch = epoch
        expected = [batch["x"] for batch in loaders[0]]
        found = [batch["x"] for chunk in loaders[1] for batch in chunk]
        assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_it_trains_from_files_as_from_memory(photos: Path, tmp_path: Path) -> None:
    runs = [
        train(
            [
                "dataset=image_folder", f"dataset.path='{photos}'", "dataset.size=8", "model=linear",
                "dataset.batch_size=4", f"dataset.in_memory={where}", "trainer.max_epochs=2",
                "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/runs'", "callbacks=none",
            ]
        )
        for where in ("true", "false")
    ]  # fmt: skip
    assert runs[0].values == runs[1].values
    assert (runs[1].run_dir / "plots" / "worst.png").exists() == (
        runs[0].run_dir / "plots" / "worst.png"
    ).exists()


def test_cifar10_from_a_tar(shared_data: Path) -> None:
    data = load(str(shared_data / "cifar10-subset.tar"))
    assert data.x.shape == (6000, 32, 32, 3)
    assert data.test_rows is not None
    assert len(data.test_rows) == 1000
    assert len(data.classes) == 10
