"""Read a dataset of boxes: its format, its annotations and their parts of the split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from dlcli.config.pasted import pasted
from dlcli.datasets.boxes.annotations import Annotation, Annotations, BoxFolder, parts_in, stem_of
from dlcli.datasets.boxes.coco import coco_files, part_in_name, read_coco
from dlcli.datasets.boxes.voc import read_voc
from dlcli.datasets.boxes.yolo import label_files, names_of_folder, read_yolo
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.formatting import counted

Format = Literal["auto", "coco", "voc", "yolo"]

_WORDS = {"coco": "COCO JSON", "voc": "Pascal VOC XML", "yolo": "YOLO text"}


@dataclass(frozen=True)
class ReadBoxes:
    """Annotations with the part of each image.

    Attributes:
        annotations: the rows.
        parts: train, val or test of each row; empty if the dataset defines no parts.
    """

    annotations: Annotations
    parts: list[str]


def read_boxes(
    folder: BoxFolder, format: Format, classes: Sequence[str] | None, *, parts: bool, skip: bool
) -> ReadBoxes:
    """Read the annotations of a folder, in a given format or the one found.

    Args:
        folder: the files.
        format: format of the annotations; auto takes the first one found of COCO, VOC and YOLO.
        classes: names of the classes in the order of their codes; None takes the order of COCO's categories, of
            `classes.txt` or of `data.yaml`, or else alphabetical order.
        parts: whether lists, files and folders named train, val and test are parts of the split.
        skip: whether unusable images and boxes are left out instead of raising an error.

    Raises:
        DataError: the folder has no annotations, or a file is invalid.
    """
    chosen, notices = _format(folder, format)
    if chosen == "coco":
        found = read_coco(folder, skip=skip)
    elif chosen == "voc":
        found = read_voc(folder, skip=skip)
        if set(found.classes) <= set(known := names_of_folder(folder).values()):
            found = replace(found, classes=tuple(known))
    else:
        found = read_yolo(folder, classes)
    if classes:
        found = replace(found, classes=tuple(classes))
    # Sort by file name before folder, so that the order of rows is the same for each format's folder layout.
    rows = sorted(found.rows, key=lambda row: (row.image.name.rpartition("/")[2], row.image.name))
    for one, other in pairwise(rows):
        if one.image.name == other.image.name:
            raise DataError(
                f"{one.image.name} has two annotations: {one.file} and this one",
                other.file,
                f"Choose the file of annotations to read: {pasted('dataset.path', str(one.file))}"
                if chosen == "coco"
                else "Remove one of them.",
            )
    found = replace(found, rows=rows, notices=(*notices, *found.notices))
    if not parts:
        return ReadBoxes(_complete(found, folder), [])
    found, split = _parts(found, folder, chosen)
    return ReadBoxes(_complete(found, folder, listed=bool(split)), split)


def _format(folder: BoxFolder, format: Format) -> tuple[str, list[Notice]]:
    """Return the format, and a notice if the folder contains others as well."""
    if format != "auto":
        return format, []
    has = {
        "coco": bool(coco_files(folder)),
        "voc": bool(folder.named(".xml")),
        "yolo": bool(label_files(folder)),
    }
    there = [name for name, is_there in has.items() if is_there]
    if not there:
        raise DataError(
            "contains no annotations: no COCO JSON, no XML of Pascal VOC, and no text files named like images",
            str(folder.place),
            "Give the folder that holds both images and annotations.",
        )
    if len(there) == 1:
        return there[0], []
    others = " and ".join(_WORDS[name] for name in there[1:])
    keys = " or ".join(f"dataset.format={name}" for name in there[1:])
    text = f"read from {_WORDS[there[0]]}; the folder also has {others} ({keys})"
    return there[0], [Notice("other_formats", len(there) - 1, text, str(folder.place), warns=False)]


def _parts(found: Annotations, folder: BoxFolder, format: str) -> tuple[Annotations, list[str]]:
    """Return the rows and their parts; rows without a part are left out if others have one."""
    split = [row.part or parts_in(row.image.name) for row in found.rows]
    if format != "coco":
        split = [
            part or part_in_name(row.file) * (format == "voc")
            for part, row in zip(split, found.rows, strict=True)
        ]
    if not any(split):
        lists = folder.lists()
        split = [lists.get(stem_of(row.image.name), "") for row in found.rows]
        known = {stem_of(row.image.name) for row in found.rows}
        if lacking := sorted(set(lists) - known):
            raise DataError(
                f"{lacking[0]} is in the list of {lists[lacking[0]]}, but has no image with annotations"
                + (f"; the same holds for {len(lacking) - 1:,} more" if len(lacking) > 1 else ""),
                str(folder.place),
                "Complete the folder, or ignore the lists: dataset.parts=false.",
            )
    if not any(split):
        return found, []
    kept = [row for row, part in enumerate(split) if part]
    if left := len(split) - len(kept):
        names = [found.rows[row].image.name for row, part in enumerate(split) if not part]
        text = f"{counted(left, 'image')} without a part left out: {first_names(names)}"
        found = replace(
            found, notices=(*found.notices, Notice("unlisted_images", left, text, str(folder.place)))
        )
    return found.only(kept), [split[row] for row in kept]


def _complete(found: Annotations, folder: BoxFolder, *, listed: bool = False) -> Annotations:
    """Return the annotations, with a notice of images that have none."""
    notices = list(_unused(found.rows, folder))
    if listed and any(notice.key == "unlisted_images" for notice in found.notices):
        notices = []  # reported by the format
    return replace(found, notices=(*found.notices, *notices))


def _unused(rows: Sequence[Annotation], folder: BoxFolder) -> Iterator[Notice]:
    used = {row.image.name for row in rows}
    if names := [image.name for image in folder.images if image.name not in used]:
        text = f"{counted(len(names), 'image')} without annotations left out: {first_names(names)}"
        yield Notice("images_without_annotations", len(names), text, str(folder.place))
