"""Images with masks: folders, archives and tables of them, the meaning of their values, and pairs that do not match."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlcli.datasets.evaluation_only import Expected, evaluating
from dlcli.datasets.image_masks import load
from dlcli.datasets.masks.class_maps import IGNORED, pixel_counts
from dlcli.datasets.masks.mask_classes import classes_of_masks
from dlcli.errors import DataError


def paint(file: Path, pixels: np.ndarray, palette: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels.astype(np.uint8))
    if palette:
        image.putpalette([value for code in range(256) for value in (code, 255 - code, code // 2)])
    image.save(file)


def mask_of(row: int, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[1:4, row % 4 : row % 4 + 3] = 1 + row % 2
    mask[5] = 9
    return mask


def pictures(
    root: Path, rows: int = 6, inside: str = "{kind}", ending: str = "", palette: bool = False
) -> Path:
    for row in range(rows):
        pixels = np.random.default_rng(row).integers(0, 256, (6, 8, 3))
        part = "test" if row < 2 else "train"
        for kind, values, name in (
            ("images", pixels, f"a{row % 3}_{row}"),
            ("masks", mask_of(row), f"a{row % 3}_{row}{ending}"),
        ):
            paint(
                root / inside.format(kind=kind, part=part) / f"{name}.png",
                values,
                palette and kind == "masks",
            )
    return root


def test_a_folder_of_images_and_masks_is_read(tmp_path: Path) -> None:
    data = load(str(pictures(tmp_path / "shapes")), ignore=9)
    assert data.target_kind == "segmentation"
    assert data.x.shape == (6, 6, 8, 3)
    assert data.classes == ("0", "1", "2")
    wanted = np.stack([mask_of(row) for row in (0, 3, 1, 4, 2, 5)])
    assert np.array_equal(np.asarray(data.y), np.where(wanted == 9, IGNORED, wanted))
    assert data.y.counts[0].tolist() == [40 - 9, 9, 0]
    assert np.array_equal(pixel_counts(np.asarray(data.y), 3), data.y.counts)
    assert any("16.7% of the masks' pixels are ignored" in notice.text for notice in data.notices)


@pytest.mark.parametrize("inside", ["{part}/{kind}", "{kind}/{part}"])
def test_parts_are_folders_above_or_below(tmp_path: Path, inside: str) -> None:
    root = pictures(tmp_path / "shapes", inside=inside)
    data = load(str(root), ignore=9)
    assert data.test_rows is not None
    assert len(data.test_rows) == 2
    assert load(str(root), ignore=9, parts=False).test_rows is None


def test_a_tar_a_palette_and_an_addition_to_names(tmp_path: Path) -> None:
    plain = load(str(pictures(tmp_path / "plain")), ignore=9)
    root = pictures(tmp_path / "own", ending="_mask", palette=True)
    with tarfile.open(tmp_path / "own.tar", "w") as tar:
        tar.add(root, "own")
    for place in (root, tmp_path / "own.tar"):
        found = load(str(place), ignore=9)
        assert np.array_equal(np.asarray(found.y), np.asarray(plain.y))
        assert any("'_mask'" in notice.text for notice in found.notices)


def test_a_table_of_pairs_with_its_split_and_groups(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    names = [f"a{row % 3}_{row}.png" for row in range(6)]
    table = pd.DataFrame({"photo": [f"images/{n}" for n in names], "truth": [f"masks/{n}" for n in names]})
    table["part"] = ["train", "train", "train", "val", "test", "test"]
    table["drive"] = [name[:2] for name in names]
    table.to_csv(root / "pairs.csv", index=False)
    data = load(str(root / "pairs.csv"), ignore=9, split="part", group="drive")
    assert data.groups is not None
    assert data.val_rows is not None
    assert data.groups.tolist() == ["a0", "a1", "a2"] * 2
    assert data.val_rows.tolist() == [3]
    assert np.array_equal(np.asarray(data.y[[1]])[0] == 2, mask_of(1) == 2)
    own = load(str(root), ignore=9, group="^[^_]+")
    assert own.groups is not None
    assert own.groups.tolist() == ["a0", "a0", "a1", "a1", "a2", "a2"]


def test_files_that_list_the_parts(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    (root / "train.txt").write_text("a0_0\na1_1\nimages/a2_2.png\n")
    (root / "val.txt").write_text("a0_3\n")
    data = load(str(root), ignore=9, lists={"train": "train.txt", "val": "val.txt"})
    assert len(data) == 4
    assert data.parts is not None
    assert data.parts.tolist() == ["train", "val", "train", "train"]
    assert any("2 images not named by any list of dataset.lists left out" in n.text for n in data.notices)
    (root / "val.txt").write_text("a0_0\n")
    with pytest.raises(DataError, match="a0_0 is in val and train"):
        load(str(root), ignore=9, lists={"train": "train.txt", "val": "val.txt"})


def test_names_of_classes_and_colours(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    (root / "classes.txt").write_text(
        "ground\nred thing\nblue\n" + "".join(f"x{n}\n" for n in range(3, 9)) + "void\n"
    )
    data = load(str(root), ignore="void")
    assert data.classes[:3] == ("ground", "red thing", "blue")
    assert any("6 of 9 classes do not occur in any mask" in notice.text for notice in data.notices)
    assert any("class void is learned" in notice.text for notice in load(str(root)).notices)
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 0, 128]], np.uint8)
    for row in range(6):
        codes = np.where(mask_of(row) == 9, 0, mask_of(row))
        paint(root / "masks" / f"a{row % 3}_{row}.png", colours[codes])
    (root / "classes.txt").write_text("ground 0 0 0\nred thing 128 0 0\nblue 0 0 128\n")
    painted = load(str(root))
    assert np.array_equal(np.asarray(painted.y)[0] == 1, mask_of(0) == 1)
    (root / "classes.txt").write_text("ground 0 0 0\nred thing 128 0 0\n")
    with pytest.raises(DataError) as caught:
        load(str(root))
    assert "has pixels of the unknown class rgb(0, 0, 128)" in str(caught.value)
    assert "a1_1.png" in str(caught.value)
    (root / "classes.txt").unlink()
    paint(root / "masks" / "a0_0.png", np.zeros_like(mask_of(0)))
    with pytest.raises(DataError, match="some masks are grey or palette images and others are in colour"):
        load(str(root))


def test_masks_in_files_are_those_in_memory_and_are_resized_as_their_images(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    for options in ({}, {"size": (3, 4)}, {"size": 4, "fit": "crop"}):
        held, read = (load(str(root), ignore=9, in_memory=held, **options) for held in (True, False))
        assert held.y.shape == held.x.shape[:3]
        assert np.array_equal(np.asarray(held.y), np.asarray(read.y[np.arange(6)]))
        assert held.fingerprint == read.fingerprint
    halved = np.asarray(load(str(root), ignore=9, size=(3, 4)).y)
    assert set(np.unique(halved)) <= {0, 1, 2, IGNORED}  # no mixtures


def test_values_that_fit_two_readings(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    for row in range(6):
        paint(root / "masks" / f"a{row % 3}_{row}.png", np.where(mask_of(row) == 9, 255, mask_of(row)))
    with pytest.raises(DataError, match="255 may be a class, or denote pixels without a class"):
        load(str(root))
    assert load(str(root), ignore=255).classes == ("0", "1", "2")
    for row in range(6):
        paint(root / "masks" / f"a{row % 3}_{row}.png", 255 * (mask_of(row) > 0))
    data = load(str(root))
    assert data.classes == ("0", "255")
    assert any("are two classes" in notice.text for notice in data.notices)


def test_pairs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    paint(root / "masks" / "a1_1.png", mask_of(1, (6, 7)))
    with pytest.raises(DataError) as caught:
        load(str(root), ignore=9)
    (problem,) = caught.value.problems
    assert problem.message == "is 6 x 7 pixels, but its image images/a1_1.png is 6 x 8"
    assert problem.where == str(root / "masks" / "a1_1.png")
    (root / "masks" / "a2_2.png").write_bytes(b"")
    left = load(str(root), ignore=9, on_bad="skip")
    assert len(left) == 4
    assert any("2 pairs with a bad mask left out" in notice.text for notice in left.notices)
    (root / "masks" / "a0_0.png").unlink()
    with pytest.raises(DataError) as caught:
        load(str(root), ignore=9)
    assert caught.value.problems[0].where == str(root / "images" / "a0_0.png")
    assert "has no mask" in caught.value.problems[0].message
    assert len(load(str(root), ignore=9, on_bad="skip")) == 3


def test_the_streets_of_camvid(shared_data: Path) -> None:
    names = ["sky", "building", "pole", "road", "pavement", "tree"]
    names += ["signsymbol", "fence", "car", "pedestrian", "bicyclist", "void"]
    place = shared_data / "segmentation" / "camvid" / "camvid.tar"
    data = load(str(place), classes=names, ignore="void", group="^[^_]+", size=(45, 60))
    assert data.val_rows is not None
    assert data.test_rows is not None
    assert data.groups is not None
    assert (len(data), len(data.val_rows), len(data.test_rows)) == (701, 101, 233)
    assert data.classes == tuple(names[:-1])
    assert sorted(set(data.groups)) == ["0001TP", "0006R0", "0016E5", "Seq05VD"]
    assert data.y.counts.sum(axis=0).argmax() == 3  # the road


def test_mistakes_in_classes_of_masks_are_named(tmp_path: Path) -> None:
    root = pictures(tmp_path / "shapes")
    with pytest.raises(DataError, match="unknown class 9"):
        load(str(root), classes=["a", "b", "c"])
    with pytest.raises(DataError, match="there is no class sky to ignore"):
        load(str(root), classes=["a", "b", "c"], ignore="sky")
    with pytest.raises(DataError, match="two classes have the name a"):
        load(str(root), classes=["a", "a", "c"])
    with pytest.raises(DataError, match="matches nothing in the name a0_0"):
        load(str(root), ignore=9, group="^b")
    with pytest.raises(DataError, match="contains no folder of images"):
        load(str(root / "images"))
    Image.fromarray(mask_of(0)).save(root / "masks" / "a0_0.jpg")
    (root / "masks" / "a0_0.png").unlink()
    with pytest.raises(DataError, match="is a JPEG, and lossy compression changes the classes"):
        load(str(root), ignore=9)


def test_masks_for_an_evaluation_may_lack_classes_of_the_model() -> None:
    with evaluating(Expected("categorical")):
        assert classes_of_masks({3: 7}, None, (), "new").names == ("3",)
        found = classes_of_masks(
            {0: 4, 1: 2, 255: 3}, None, (), "new"
        )  # what 255 stands for was decided in training
        assert (found.names, found.notices) == (("0", "1", "255"), ())
        with pytest.raises(DataError, match="0 classes, but 1 to"):
            classes_of_masks({255: 9}, None, (255,), "new")
    with pytest.raises(DataError, match="one class, but 2 to"):
        classes_of_masks({3: 7}, None, (), "new")


def test_names_in_lists_may_have_dots(tmp_path: Path) -> None:
    root = tmp_path / "dotted"
    for row, name in enumerate(("a.1", "a.2")):
        paint(root / "images" / f"{name}.png", np.full((6, 8, 3), row))
        paint(root / "masks" / f"{name}.png", mask_of(row))
    (root / "train.txt").write_text("a.1\n")
    (root / "val.txt").write_text("images/a.2.png\n")
    data = load(str(root), ignore=9, lists={"train": "train.txt", "val": "val.txt"})
    assert data.parts is not None and data.parts.tolist() == ["train", "val"]
