"""Masks from the polygons and run lengths of COCO's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlcli.datasets.image_masks import load
from dlcli.datasets.masks.shapes import BadShape, filled, shape_mask
from dlcli.errors import DataError

SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]
RUNS = {"size": [6, 8], "counts": [12, 3, 3, 3, 27]}


def document(*segmentations: Any, images: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 6, "width": 8} for n in range(images)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 50 + n, "image_id": 0, "category_id": (7, 3)[n % 2], "segmentation": one, **more}
            for n, one in enumerate(segmentations)
        ],
    }


def write(folder: Path, content: dict[str, Any], name: str = "instances.json") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image in content["images"]:
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(folder / "images" / image["file_name"])
    (folder / name).write_text(json.dumps(content))
    return folder


def test_polygons_and_runs_give_the_class_of_each_pixel(tmp_path: Path) -> None:
    folder = write(tmp_path, document([SQUARE], RUNS))
    for place in (folder, folder / "instances.json"):
        data = load(str(place))
        assert data.classes == ("background", "dog", "cat")
        mask = np.asarray(data.y)[0]
        assert (mask == 2).sum() == 12 - 4
        assert (mask == 1).sum() == 6
        assert mask[1:4, 1].tolist() == [2, 2, 2] and mask[0:3, 2].tolist() == [1, 1, 1]
        assert not np.asarray(data.y)[1].any()
        (notice,) = [one for one in data.notices if one.key == "covered_pixels"]
        assert notice.count == 4


def test_they_are_those_of_the_library_of_coco() -> None:
    library = pytest.importorskip("faster_coco_eval.core.mask")
    draw = np.random.default_rng(0)
    for _ in range(20):
        mask = np.asfortranarray((draw.random((9, 14)) < 0.4).astype(np.uint8))
        encoded = library.encode(mask)
        text = encoded["counts"].decode() if isinstance(encoded["counts"], bytes) else encoded["counts"]
        assert np.array_equal(shape_mask({"size": [9, 14], "counts": text}, (9, 14)), mask.astype(bool))
    corners = np.array([[2.0, 3.5], [33.2, 8.1], [28.9, 36.4], [9.6, 30.0]])
    theirs = (
        library.decode(library.frPyObjects([corners.ravel().tolist()], 40, 40)).reshape(40, 40).astype(bool)
    )
    ours = filled(corners, (40, 40))
    assert (theirs & ours).sum() / (theirs | ours).sum() > 0.93
    assert abs(int(theirs.sum()) - int(ours.sum())) < 0.07 * ours.sum()


def test_a_polygon_covers_the_pixels_whose_centres_are_inside() -> None:
    assert shape_mask([[0, 0, 3, 0, 3, 2, 0, 2]], (4, 5)).sum() == 6
    assert shape_mask([[0.6, 0.6, 3, 0.6, 3, 2, 0.6, 2]], (4, 5)).sum() == 2
    outside = shape_mask([[-4, -4, 20, -4, 20, 20, -4, 20]], (4, 5))
    assert outside.all()
    star = filled(np.array([[0, 0], [8, 0], [0, 8], [8, 8]]), (8, 8))  # crosses itself: two triangles
    assert star[0].sum() > star[3].sum() and star[7].sum() > star[4].sum()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 2, 2]], "has a polygon of 4 numbers"),
        ([[1, 1, "a", 2, 3, 3]], "has a polygon that is not a list of numbers"),
        ({"size": [5, 8], "counts": [40]}, r"has run lengths of the size \[5, 8\]"),
        ({"size": [6, 8], "counts": [40]}, "has run lengths that do not cover the 48 pixels"),
        ({"size": [6, 8], "counts": "é"}, "has run lengths"),
        ([[20, 1, 25, 1, 25, 4]], "covers no pixel of its image"),
    ],
)
def test_bad_segmentations_are_named_or_left_out(tmp_path: Path, segmentation: Any, message: str) -> None:
    folder = write(tmp_path, document([SQUARE], segmentation, [SQUARE]))
    with pytest.raises(DataError, match=f"annotation 51 {message}"):
        load(str(folder))
    data = load(str(folder), on_bad="skip")
    (notice,) = [one for one in data.notices if one.key == "bad_segmentations"]
    assert notice.count == 1
    assert (np.asarray(data.y)[0] == 2).sum() == 12


def test_an_unknown_category_is_refused_and_not_left_out(tmp_path: Path) -> None:
    content = document([SQUARE], "abc")
    content["annotations"][0]["category_id"] = 99
    folder = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load(str(folder), on_bad="skip")
    (problem,) = caught.value.problems
    assert "has an unknown category" in problem.message and not problem.hint


def test_parts_are_those_of_the_files_names(tmp_path: Path) -> None:
    content = document([SQUARE], images=1)
    write(tmp_path, content, "instances_train.json")
    other = {**document([SQUARE], images=1)}
    other["images"][0]["file_name"] = "9.png"
    write(tmp_path, other, "instances_test.json")
    data = load(str(tmp_path))
    assert sorted(data.parts.tolist()) == ["test", "train"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="COCO's categories are the classes"):
        load(str(tmp_path), classes=["a", "b"])


def test_a_segmentation_of_another_form_is_refused() -> None:
    with pytest.raises(BadShape, match="neither a list of polygons nor run lengths"):
        shape_mask("abc", (3, 3))
