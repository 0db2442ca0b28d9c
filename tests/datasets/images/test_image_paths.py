"""Paths in tables of images, in all common spellings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlcli.datasets.image_folder import load
from dlcli.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    for number, name in enumerate(("00012.png", "12.png", "Cat One.JPG")):
        Image.fromarray(np.full((4, 4), 60 * number, np.uint8)).save(tmp_path / "pics" / name)
    (tmp_path / "00012").write_bytes((tmp_path / "pics" / "00012.png").read_bytes())
    (tmp_path / "7").write_bytes((tmp_path / "pics" / "12.png").read_bytes())
    return tmp_path


def table(folder: Path, *rows: str, header: str = "image,label") -> str:
    (folder / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    return str(folder / "t.csv")


def test_numbers_with_leading_zeros_are_names(images: Path) -> None:
    data = load(table(images, "00012,a", "7,b"), target="label")
    assert [int(image.mean()) for image in data.x] == [0, 60]
    assert data.notices == ()
    named = load(table(images, "00012,a", "7,b", header="label2,label"), target="label", image="label2")
    assert np.array_equal(named.x, data.x)


def test_windows_paths_and_names_without_ending_are_found_and_reported(images: Path) -> None:
    data = load(
        table(images, "pics\\00012.png,a", ".\\pics\\12,b", "pics/00012,a", "pics/cat one.jpg,b"),
        target="label",
    )
    assert [int(image.mean()) for image in data.x] == [0, 60, 0, 120]
    assert {notice.key: notice.count for notice in data.notices} == {
        "backslash_paths": 2,
        "paths_without_ending": 2,
        "paths_in_other_case": 1,
    }
    assert data.notices[0].text == "2 paths with backslashes, as on Windows, read with slashes"


def test_absolute_paths_of_another_machine_are_found_below_the_table(images: Path) -> None:
    rows = ("C:\\Users\\me\\pics\\00012.png,a", "/home/me/data/pics/12.png,b", f"{images}/7,b")
    data = load(table(images, *rows), target="label")
    assert [int(image.mean()) for image in data.x] == [0, 60, 60]
    assert {notice.key: notice.count for notice in data.notices} == {"backslash_paths": 1, "moved_paths": 2}


def test_names_alone_are_found_in_the_folder_beside_the_table(images: Path) -> None:
    (images / "00012").unlink()
    rows = (
        "00012,a",
        "cat one.jpg,b",
        "PICS/12.PNG,a",
        "file:///srv/My%20data/pics/12.png,b",
        "file:///C:/x/pics/12.png,b",
    )
    data = load(table(images, *rows), target="label")
    assert [int(image.mean()) for image in data.x] == [0, 120, 60, 60, 60]
    assert {notice.key: notice.count for notice in data.notices} == {
        "moved_paths": 2, "paths_in_a_folder": 2, "paths_without_ending": 1, "paths_in_other_case": 2,
    }  # fmt: skip
    (images / "more").mkdir()
    (images / "more" / "00012.png").write_bytes((images / "7").read_bytes())
    with pytest.raises(DataError, match=r"several files match 00012: more/00012\.png, pics/00012\.png"):
        load(table(images, "00012,a", "7,b"), target="label")


def test_a_name_that_fits_two_files_is_refused(images: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(images / "pics" / "12.bmp")
    with pytest.raises(DataError, match=r"t\.csv:3: several files match 12: 12\.bmp, 12\.png"):
        load(table(images, "pics/00012,a", "pics/12,b"), target="label")
    with pytest.raises(
        DataError, match=r"t\.csv:2: there is no file pics\\0012\.png\n  Did you mean pics/00012\.png"
    ):
        load(table(images, "pics\\0012.png,a"), target="label")


def test_parts_are_named_in_any_usual_way(images: Path) -> None:
    rows = ("pics/00012,a,Train", "pics/12,b,TRAINING", "7,a,dev", "00012,b,Hold-out")
    data = load(table(images, *rows, header="image,label,part"), target="label", split="part")
    assert data.val_rows is not None
    assert data.test_rows is not None
    assert (data.val_rows.tolist(), data.test_rows.tolist()) == ([2], [3])


def test_texts_in_parquet_stay_as_they_are(images: Path) -> None:
    frame = pd.DataFrame({"image": ["00012", "7"], "label": ["a", "b"]})
    frame.to_parquet(images / "t.parquet")
    assert [int(image.mean()) for image in load(str(images / "t.parquet"), target="label").x] == [0, 60]


def test_labels_that_may_denote_a_missing_value_are_classes_with_a_warning(images: Path) -> None:
    data = load(table(images, "00012,NA", "7,NA", "pics/12.png,b"), target="label")
    (told,) = data.notices
    assert (data.classes, told.key, told.count) == (("NA", "b"), "missing_words", 2)
    assert told.text == "2 rows of the class NA, which may denote a missing value"
    with pytest.raises(DataError) as caught:
        load(table(images, "00012,", "7,a"), target="label")
    assert caught.value.problems[0].hint == "Fill it in, or leave out these rows."
