"""Images with labelled bounding boxes: COCO JSON, Pascal VOC XML or YOLO text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from dlcli.datasets.boxes.annotations import box_folder
from dlcli.datasets.boxes.box_checks import checked_boxes
from dlcli.datasets.boxes.boxes import Boxes
from dlcli.datasets.boxes.reading_boxes import Format, read_boxes
from dlcli.datasets.data import Data
from dlcli.datasets.folders.class_folders import PartFolders
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.images.image_loading import ImageOptions, load_images
from dlcli.datasets.labelled_files import with_targets
from dlcli.datasets.notices import Notice
from dlcli.errors import DataError
from dlcli.files.paths import typed


def load(
    path: str,
    format: Format = "auto",
    classes: Sequence[str] | None = None,
    group: str | None = None,
    parts: PartFolders = "auto",
    **options: Annotated[Any, ImageOptions],
) -> Data:
    """Load images, `(N, H, W)` if they are grey, else `(N, H, W, 3)`, and their `Boxes`.

    Args:
        path: a folder, .tar or .zip of images and annotations, or a COCO JSON file in the folder of its images.
        format: coco, voc or yolo; auto detects the format.
        classes: names of the classes in the order of their codes; None takes the order of COCO's categories, of
            `classes.txt` or of `data.yaml`, or else alphabetical order.
        group: a regular expression, whose first group (or match) in an image's name is its group; rows of a group are
            kept together.
        parts: whether files, lists and folders named train, val and test are parts of the split; false ignores them.
        options: fields of `ImageOptions`.

    Raises:
        DataError: a file is missing or invalid, a class is unknown, or a box lies outside its image.
    """
    asked, place = ImageOptions(**options), typed(path)
    skip = asked.on_bad == "skip"
    read = read_boxes(box_folder(place), format, classes, parts=parts == "auto", skip=skip)
    if not read.annotations.rows:
        raise DataError("contains no image with annotations", str(place))
    split = dict(zip((row.image.name for row in read.annotations.rows), read.parts, strict=False))
    size = (asked.size, asked.size) if isinstance(asked.size, int) else asked.size
    annotations, boxes, notices = checked_boxes(read.annotations, size, asked.fit, skip=skip)
    found = load_images(place, [row.image for row in annotations.rows], asked)
    annotations, boxes = annotations.only(found.rows.tolist()), boxes[found.rows]
    if not len(boxes.codes):
        raise DataError("has no boxes", str(place))
    images = [row.image for row in annotations.rows]
    own = np.array([split.get(image.name, "") for image in images])
    groups = groups_of_names(images, group) if group else None
    lacking = _lacking(boxes, annotations.classes, own, place)
    told = (*annotations.notices, *notices, *lacking)
    return with_targets(place, found, boxes, annotations.classes, own.tolist(), groups, told)


def _lacking(boxes: Boxes, classes: Sequence[str], parts: np.ndarray, place: Path) -> Iterator[Notice]:
    """Yield notices of classes and parts without boxes."""
    counts = boxes.per_class(len(classes))
    if names := [name for name, number in zip(classes, counts.sum(axis=0), strict=True) if not number]:
        word = "class" if len(names) == 1 else "classes"
        yield Notice(
            "classes_without_boxes", len(names), f"no boxes of the {word} {', '.join(names)}", str(place)
        )
    empty = [part for part in ("val", "test") if (parts == part).any() and not counts[parts == part].any()]
    if empty:
        text = f"no boxes in the images of {' and '.join(empty)}: their metrics are nan"
        yield Notice("parts_without_boxes", len(empty), text, str(place))
