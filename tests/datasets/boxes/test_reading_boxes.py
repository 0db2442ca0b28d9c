"""`dataset=detection`: COCO, VOC and YOLO give the same rows, and errors name the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlcli.datasets.data import Data
from dlcli.datasets.detection import load
from dlcli.errors import DataError

# Name, part, and boxes (class, left, top, right, bottom) of images of 40 x 20 pixels.
CLASSES = ("cat", "ant")
IMAGES: dict[str, tuple[str, list[tuple[str, int, int, int, int]]]] = {
    "a": ("train", [("cat", 2, 3, 12, 13), ("ant", 20, 5, 38, 19)]),
    "b": ("train", []),
    "c": ("val", [("ant", 0, 0, 40, 20)]),
    "d": ("test", [("cat", 10, 10, 17, 20)]),
}


def write_images(root: Path, folder: str) -> Path:
    for number, name in enumerate(IMAGES):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 40, 3), 40 * number, np.uint8)).save(root / folder / f"{name}.png")
    return root


def coco_of(root: Path, part: str | None = None) -> dict[str, Any]:
    """Return COCO's document of the images of a part, or of all."""
    names = [name for name, (own, _) in IMAGES.items() if part in (None, own)]
    boxes = [(n, box) for n, name in enumerate(names) for box in IMAGES[name][1]]
    return {
        "images": [
            {"id": n, "file_name": f"{name}.png", "width": 40, "height": 20} for n, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": n,
                "category_id": 3 * (1 + CLASSES.index(label)),
                "bbox": [x, y, r - x, b - y],
            }
            for number, (n, (label, x, y, r, b)) in enumerate(boxes)
        ],
        "categories": [{"id": 3 * (1 + code), "name": name} for code, name in enumerate(CLASSES)],
    }


def write_coco(root: Path) -> Path:
    write_images(root, "images")
    (root / "annotations").mkdir()
    for part in ("train", "val", "test"):
        (root / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(coco_of(root, part)))
    return root


def xml_of(name: str) -> str:
    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
        f"<xmax>{r}</xmax><ymax>{b}</ymax></bndbox></object>"
        for label, x, y, r, b in IMAGES[name][1]
    )
    size = "<size><width>40</width><height>20</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>"


def write_voc(root: Path) -> Path:
    write_images(root, "JPEGImages")
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in IMAGES:
        (root / "Annotations" / f"{name}.xml").write_text(xml_of(name))
    write_lists(root / "ImageSets" / "Main")
    (root / "classes.txt").write_text("cat\nant\n")
    return root


def write_lists(folder: Path) -> None:
    for part in ("train", "val", "test"):
        names = [name for name, (own, _) in IMAGES.items() if own == part]
        (folder / f"{part}.txt").write_text("\n".join(names))


def write_yolo(root: Path) -> Path:
    for name, (part, boxes) in IMAGES.items():
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 40, 3), 40 * list(IMAGES).index(name), np.uint8)).save(
            root / "images" / part / f"{name}.png"
        )
        lines = [
            f"{CLASSES.index(label)} {(x + r) / 80:.6f} {(y + b) / 40:.6f} {(r - x) / 40:.6f} {(b - y) / 20:.6f}"
            for label, x, y, r, b in boxes
        ]
        if lines:
            (root / "labels" / part / f"{name}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: {0: cat, 1: ant}\n")
    return root


WRITERS: dict[str, Callable[[Path], Path]] = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


def notices_of(data: Data) -> dict[str, tuple[float, str]]:
    return {notice.key: (notice.count, notice.text) for notice in data.notices}


@pytest.mark.parametrize("format", list(WRITERS))
def test_every_format_has_the_same_rows(format: str, tmp_path: Path) -> None:
    data = load(str(WRITERS[format](tmp_path / "set")))
    assert (data.classes, data.target_kind, len(data)) == (CLASSES, "detection", 4)
    found = np.asarray(data.y)
    assert found.shape == (4, 2, 6)
    boxes = [
        [
            (data.classes[int(box[4])], *np.rint(box[:4] * [40, 20, 40, 20]).astype(int).tolist())
            for box in row
            if box[4] >= 0
        ]
        for row in found
    ]
    assert boxes == [boxes for _, boxes in IMAGES.values()]
    assert data.parts is not None
    assert list(data.parts) == [part for part, _ in IMAGES.values()]
    assert [list(rows) for rows in (data.val_rows, data.test_rows) if rows is not None] == [[2], [3]]
    assert notices_of(data)["images_without_boxes"][0] == 1
    reordered = data.y[np.array([3, 0])]
    np.testing.assert_array_equal(np.asarray(reordered)[:, :2], found[[3, 0], : reordered.shape[1]])


def test_parts_can_be_ignored_and_names_give_groups(tmp_path: Path) -> None:
    data = load(str(write_voc(tmp_path / "set")), parts=False, group="^[ab]|.")
    assert (data.parts, data.val_rows, data.test_rows) == (None, None, None)
    assert data.groups is not None
    assert list(data.groups) == ["a", "b", "c", "d"]


def test_the_chosen_format_of_a_mixed_folder_is_reported(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set")
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    data = load(str(root))
    assert notices_of(data)["other_formats"][1] == (
        "read from Pascal VOC XML; the folder also has YOLO text (dataset.format=yolo)"
    )
    assert load(str(root), format="yolo").y.counts.tolist() == [1, 0, 0, 0]


def test_a_cropped_image_keeps_the_boxes_that_are_seen(tmp_path: Path) -> None:
    data = load(str(write_coco(tmp_path / "set")), size=20, fit="crop")
    # The middle 20 x 20 pixels: the cat of `a` at 2 to 12 has a fifth left.
    assert data.y.counts.tolist() == [1, 0, 1, 1]
    np.testing.assert_allclose(data.y.corners[0], [0.5, 0.25, 1, 0.95], atol=0.01)
    assert notices_of(data)["cropped_boxes"][0] == 1


def changed(root: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = coco_of(root)
    change(document)
    (write_images(root, "images") / "all.json").write_text(json.dumps(document))
    return root


COCO_MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown class": (
        lambda doc: doc["annotations"][1].update(category_id=9),
        "annotation 1 has the category_id 9, which is not one of the categories",
    ),
    "outside": (
        lambda doc: doc["annotations"][0].update(bbox=[30, 0, 20, 5]),
        r"annotation 0 lies outside its image: 30, 0, 50, 5 \(left, top, right, bottom\), in 40 x 20",
    ),
    "negative": (
        lambda doc: doc["annotations"][0].update(bbox=[30, 0, -20, 5]),
        r"annotation 0 ends before it begins: 30, 0, 10, 5 \(left, top, right, bottom\)",
    ),
    "a crowd that is a word": (
        lambda doc: doc["annotations"][0].update(iscrowd="no"),
        r"annotations\[0\] has the iscrowd 'no', which is not an integer",
    ),
    "no numbers": (
        lambda doc: doc["annotations"][0].update(bbox=[1, 2, 3]),
        r"annotation 0 has the bbox \[1, 2, 3\], not four numbers",
    ),
    "not finite": (
        lambda doc: doc["annotations"][0].update(bbox=[1, float("nan"), 3, 4]),
        "annotation 0 has a coordinate that is not a finite number",
    ),
    "missing image": (
        lambda doc: doc["images"][2].update(file_name="gone.png"),
        "there is no image gone.png",
    ),
    "other size": (
        lambda doc: doc["images"][0].update(width=80),
        r"states a size of 80 x 20 pixels, but the image images/a.png has 40 x 20",
    ),
    "unknown image": (
        lambda doc: doc["annotations"][0].update(image_id=77),
        "annotation 0 has the image_id 77, which is not one of the images",
    ),
    "no boxes": (lambda doc: doc["annotations"][0].pop("bbox"), r"annotations\[0\] has no bbox"),
    "twice one id": (
        lambda doc: doc["images"][1].update(id=0),
        r"has two images with the id 0: a.png and b.png",
    ),
    "a category that is no number": (
        lambda doc: doc["categories"][0].update(id="x"),
        r"categories\[0\] has the id 'x', which is not an integer",
    ),
    "no category": (
        lambda doc: doc["annotations"][0].update(category_id=None),
        r"annotations\[0\] has the category_id None",
    ),
    "an id that is a list": (lambda doc: doc["images"][0].update(id=[1]), r"images\[0\] has the id \[1\]"),
    "a height that is a word": (
        lambda doc: doc["images"][0].update(height="tall"),
        r"images\[0\] has the height 'tall', which is not an integer",
    ),
    "two of one name": (
        lambda doc: doc["categories"][1].update(name="cat"),
        "two categories have the name cat",
    ),
    "another folder": (
        lambda doc: doc["images"][0].update(file_name="b/a.png"),
        "there is no image b/a.png",
    ),
    "outside the folder": (
        lambda doc: doc["images"][0].update(file_name="../../etc/a.png"),
        r"there is no image ../../etc/a.png",
    ),
    "another ending": (
        lambda doc: doc["images"][0].update(file_name="a.jpg"),
        "there is no image a.jpg",
    ),
    "no list": (
        lambda doc: doc.update(categories={}),
        "is not COCO JSON: it lacks a list of images or annotations",
    ),
}


@pytest.mark.parametrize("kind", list(COCO_MISTAKES))
def test_mistakes_of_coco_name_the_file(kind: str, tmp_path: Path) -> None:
    change, message = COCO_MISTAKES[kind]
    root = changed(tmp_path / "set", change)
    with pytest.raises(DataError, match=message) as caught:
        load(str(root))
    problems = caught.value.problems
    assert any("all.json" in problem.where for problem in problems)
    assert "category_id" in message or not any("categories are" in problem.hint for problem in problems)


def test_repeated_boxes_and_crowds_are_reported(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        first = document["annotations"][0]
        document["annotations"] += [dict(first), dict(first, id=98, iscrowd=True, category_id=6)]

    data = load(str(changed(tmp_path / "set", change)))
    found = notices_of(data)
    assert found["repeated_boxes"] == (
        1,
        "1 box of the place and class of another one, used all the same: all.json annotation 0",
    )
    assert found["repeated_ids"] == (1, "1 annotation with the id of an earlier one; all are used")
    assert found["crowds"][0] == int(data.y.crowds.sum()) == 1


def test_numbers_of_coco_may_be_texts_and_floats(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["images"][0].update(id="0", height="20", width=40.0)
        document["annotations"][0].update(category_id="3", image_id=0.0)

    assert load(str(changed(tmp_path / "set", change))).y.counts.tolist() == [2, 0, 1, 1]


def test_a_damaged_file_of_a_part_is_named(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "set")
    file = root / "annotations" / "instances_val2017.json"
    for content in (file.read_text()[:60], ""):
        file.write_text(content)
        with pytest.raises(DataError, match=r"instances_val2017\.json.*is not JSON"):
            load(str(root))


def test_cocos_files_for_other_tasks_are_left_out(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "set")
    for part in ("train", "val"):
        document = json.dumps(coco_of(root, part) | {"categories": []})
        (root / "annotations" / f"person_keypoints_{part}2017.json").write_text(document)
    captions = {key: value for key, value in coco_of(root).items() if key != "categories"}
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(captions))
    data = load(str(root))
    assert (len(data), notices_of(data)["other_files"][0]) == (4, 3)
    one = load(str(root / "annotations" / "instances_train2017.json"), parts=False)
    assert one.y.counts.tolist() == [2, 0], "the images are beside the folder of annotations"


def test_labels_of_another_part_or_folder_are_not_those_of_an_image(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set")
    (root / "labels" / "val" / "c.txt").rename(root / "labels" / "train" / "c.txt")
    data = load(str(root))
    assert data.y.counts.tolist() == [2, 0, 0, 1]
    assert notices_of(data)["images_without_file"][0] == 2
    flat = write_images(tmp_path / "flat", "pictures")
    (flat / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert load(str(flat), classes=["cat", "ant"]).y.counts.tolist() == [1, 0, 0, 0]
    (flat / "other").mkdir()
    (flat / "a.txt").rename(flat / "other" / "a.txt")
    with pytest.raises(DataError, match="has no boxes"):
        load(str(flat), classes=["cat", "ant"])


def test_names_of_classes_have_the_numbers_of_their_file(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set")
    (root / "data.yaml").write_text("names: {1: ant, 2: bee}\n")
    with pytest.raises(DataError, match="has the class 0, for which there is no name") as caught:
        load(str(root))
    assert "The classes are 1 ant, 2 bee" in str(caught.value.problems[0].hint)
    (root / "data.yaml").write_text("names: {0: cat, 1: ant}\n")
    data = load(str(root), classes=["ant", "cat"])
    assert data.classes == ("ant", "cat")
    assert data.y[[0]].codes.tolist() == [1, 0], "dataset.classes chooses the order, by name"
    (root / "data.yaml").write_text("names: {0: cat, one: ant}\n")
    with pytest.raises(DataError, match="keys are not class numbers"):
        load(str(root))
    (root / "classes.txt").write_text("cat\n\nant\n")
    with pytest.raises(DataError, match="is blank") as caught:
        load(str(root))
    assert caught.value.problems[0].where.endswith("classes.txt, line 2")
    (root / "classes.txt").write_text("cat\nant\n\n")
    assert load(str(root)).classes == CLASSES


def test_a_part_or_class_without_boxes_is_reported(tmp_path: Path) -> None:
    root = changed(tmp_path / "set", lambda doc: doc["categories"].append({"id": 9, "name": "bee"}))
    assert notices_of(load(str(root)))["classes_without_boxes"] == (1, "no boxes of the class bee")
    root = write_yolo(tmp_path / "yolo")
    (root / "labels" / "val" / "c.txt").write_text("")
    found = notices_of(load(str(root)))
    assert found["parts_without_boxes"] == (1, "no boxes in the images of val: their metrics are nan")


def test_files_that_are_not_json_xml_or_images(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "coco")
    (root / "annotations" / "instances_val2017.json").write_text('{"images": [], "annotations": [\n1,')
    with pytest.raises(DataError, match=r"is not JSON.*") as caught:
        load(str(root))
    assert caught.value.problems[0].where.endswith("instances_val2017.json, line 2")
    root = write_voc(tmp_path / "voc")
    (root / "Annotations" / "c.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match="is not XML"):
        load(str(root))
    root = write_voc(tmp_path / "voc2")
    (root / "JPEGImages" / "c.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="is not an image"):
        load(str(root))
    assert len(load(str(root), on_bad="skip")) == 3
    (root / "JPEGImages" / "c.png").unlink()
    with pytest.raises(DataError, match="there is no image with its name"):
        load(str(root))
    with pytest.raises(DataError, match="contains no annotations"):
        load(str(write_images(tmp_path / "plain", "images")))
    with pytest.raises(DataError, match="there is no such file or folder"):
        load(str(tmp_path / "absent"))


def test_mistakes_of_voc_and_yolo_name_the_line_or_object(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "voc")
    file = root / "Annotations" / "a.xml"
    file.write_text(xml_of("a").replace("<xmin>20</xmin>", "<xmin>wide</xmin>"))
    with pytest.raises(DataError, match=r"object 2 \(ant\) lacks the number xmin"):
        load(str(root))
    file.write_text(xml_of("a").replace("<xmax>38</xmax>", "<xmax>20</xmax>"))
    data = load(str(root))
    assert notices_of(data)["zero_area_boxes"] == (1, "1 box without area left out: a.xml object 2 (ant)")
    file.write_text(xml_of("a").replace("<xmax>38</xmax>", "<xmax>41</xmax>"))
    assert notices_of(load(str(root)))["clipped_boxes"] == (
        1,
        "1 box clipped to the image: a.xml object 2 (ant)",
    )
    with pytest.raises(
        DataError, match=r"object 1 \(cat\) has the class cat, which is not in dataset.classes"
    ):
        load(str(root), classes=["ant"])
    root = write_yolo(tmp_path / "yolo")
    (root / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="has the class 7, for which there is no name") as caught:
        load(str(root))
    assert re.search(r"a\.txt, line 2$", caught.value.problems[0].where)
    (root / "labels" / "train" / "a.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(DataError, match="is not a box"):
        load(str(root))


def test_bad_boxes_can_be_left_out(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["annotations"][0]["bbox"] = [30, 0, 20, 5]
        document["annotations"][1]["bbox"] = [60, 0, 20, 5]
        document["annotations"].append(dict(document["annotations"][0], id=99, bbox=[9, 9, 4, -1]))

    data = load(str(changed(tmp_path / "set", change)), on_bad="skip")
    assert data.y.counts.tolist() == [1, 0, 1, 1]
    found = notices_of(data)
    assert [found[key][0] for key in ("clipped_boxes", "boxes_outside", "swapped_boxes")] == [1, 1, 1]


def test_the_three_readings_of_blood_cells_are_equal(shared_data: Path) -> None:
    archive = shared_data / "detection" / "bccd" / "bccd.tar"
    if not archive.exists():
        pytest.skip("needs shared/data/detection/bccd")
    read = {
        format: load(str(archive), format=format, size=32, fit="stretch", in_memory=False)
        for format in WRITERS
    }
    assert len({data.fingerprint for data in read.values()}) == 1
    assert read["coco"].y.per_class(3).sum(axis=0).tolist() == [4153, 372, 361]
    assert notices_of(read["voc"])["zero_area_boxes"][1] == (
        "2 boxes without area left out: BloodImage_00338.xml object 13 (RBC), BloodImage_00343.xml object 4 (RBC)"
    )
    parts = read["yolo"].parts
    assert parts is not None
    assert [int((parts == part).sum()) for part in ("train", "val", "test")] == [205, 87, 72]
