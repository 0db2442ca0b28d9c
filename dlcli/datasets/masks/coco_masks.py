"""Masks of COCO's JSON: the class of each pixel from the polygons and run lengths of its objects."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dlcli.datasets.boxes.annotations import BoxFolder
from dlcli.datasets.boxes.coco import coco_documents, coco_files, missing_images, part_in_name
from dlcli.datasets.folders.archives import is_archive, tree_of_archive
from dlcli.datasets.folders.bad_files import BadFile, bad_file
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.folders.tree import tree_of_folder
from dlcli.datasets.images.image_decoder import read_header
from dlcli.datasets.masks.mask_pairs import Pairs, has_masks
from dlcli.datasets.masks.shapes import BadShape, shape_mask
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.files.paths import is_file, is_folder
from dlcli.formatting import counted

# The class of pixels that are of no object, with the value 0.
BACKGROUND = "background"

_NAMED = 5
_MOST = 254


def is_coco(place: Path) -> bool:
    """Return whether a path is COCO's JSON, or a folder or archive with one and without images in folders of masks."""
    if is_file(place) and place.suffix.lower() == ".json":
        content = place.read_bytes()
        return b'"annotations"' in content and b'"categories"' in content
    if is_folder(place):
        files = tree_of_folder(place).files
    elif is_file(place) and is_archive(place):
        files = tree_of_archive(place).files
    else:
        return False
    named = any(file.name.lower().endswith(".json") for file in files)
    return named and not has_masks(files) and bool(coco_files(BoxFolder(place, files)))


@dataclass(frozen=True)
class DrawnMask:
    """A mask that was drawn, as a PNG in memory; `where` is the JSON that its objects are in."""

    name: str
    where: str
    content: bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content)

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, or the first `most`."""
        return self.content if most is None else self.content[:most]


def coco_pairs(
    folder: BoxFolder, group: str | None, *, parts: bool, skip: bool
) -> tuple[Pairs, list[tuple[str, int]]]:
    """Return images and drawn masks, and the names of the classes with their values: background and the categories.

    Smaller objects are drawn over larger ones.

    Args:
        folder: the folder of images and COCO files.
        group: a regular expression, whose first group (or match) in an image's name is its group.
        parts: whether names of files stand for parts of the split.
        skip: whether missing images and bad segmentations are left out.

    Raises:
        DataError: a file is invalid, an image is missing, or a segmentation cannot be drawn.
    """
    documents, categories, notices = coco_documents(folder, "segmentation")
    order = sorted(categories)
    if len(order) > _MOST:
        raise DataError(f"has {len(order):,} categories, and masks can have {_MOST}", str(folder.place))
    if BACKGROUND in categories.values():
        raise DataError(f"a category has the name {BACKGROUND}, that of all other pixels", str(folder.place))
    values = {number: value for value, number in enumerate(order, start=1)}
    missing: list[tuple[Stored, str]] = []
    problems: list[Problem] = []
    images: list[Stored] = []
    masks: list[Stored] = []
    own_parts: list[str] = []
    undrawn: list[Problem] = []
    covered = 0
    for file, document in documents.items():
        of_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        known = {image["id"] for image in document["images"]}
        for number, entry in enumerate(document["annotations"]):
            where = f"annotation {entry.get('id', number)}"
            if entry["category_id"] not in categories:
                problems.append(Problem(f"{where} has an unknown category", file.where))
            elif entry["image_id"] not in known:
                problems.append(
                    Problem(f"{where} has the image_id {entry['image_id']!r}, of no image", file.where)
                )
            else:
                of_image[entry["image_id"]].append({**entry, "where": where})
        for image in document["images"]:
            found = folder.image(str(image["file_name"]), file.name)
            if found is None:
                missing.append((file, str(image["file_name"])))
                continue
            values_of, both, wrong = _mask(of_image[image["id"]], _size(image, found), values)
            covered += both
            hint = "Mend it, or leave such objects out: dataset.on_bad=skip."
            undrawn += [Problem(f"{text} (image {found.name})", file.where, hint) for text in wrong]
            images.append(found)
            masks.append(DrawnMask(found.name, file.where, _png(values_of)))
            own_parts.append(part_in_name(file.name) if parts else "")
    notices += missing_images(missing, folder, skip=skip)
    if refused := problems if skip else [*problems, *undrawn]:
        raise DataError(refused[:_NAMED])
    if undrawn:
        text = f"{counted(len(undrawn), 'object')} that cannot be drawn left out: " + first_names(
            [one.message for one in undrawn]
        )
        notices.append(Notice("bad_segmentations", len(undrawn), text, str(folder.place)))
    if covered:
        text = (
            f"{covered:,} pixels are of objects of several classes: they have the class of the smallest one"
        )
        notices.append(Notice("covered_pixels", covered, text, str(folder.place), warns=False))
    if not images:
        raise DataError("contains no image with annotations", str(folder.place))
    if any(own_parts) and not all(own_parts):
        raise DataError(
            "only some of the COCO files are named after a part of the split",
            str(folder.place),
            "Name them such as instances_train.json, or set dataset.parts=false.",
        )
    groups = groups_of_names(images, group) if group else None
    names = [(BACKGROUND, 0), *((categories[number], values[number]) for number in order)]
    return Pairs(images, masks, own_parts, groups, tuple(notices)), names


def _size(image: Mapping[str, Any], found: Stored) -> tuple[int, int]:
    if image.get("height") and image.get("width"):
        return int(image["height"]), int(image["width"])
    try:
        return read_header(found).size
    except BadFile as error:
        raise bad_file(found, error) from error


def _mask(
    objects: Sequence[Mapping[str, Any]], size: tuple[int, int], values: Mapping[int, int]
) -> tuple[np.ndarray, int, list[str]]:
    """Return the value of each pixel `(H, W)`, how many are of several classes, and the objects that are not drawn."""
    shapes, wrong = [], []
    for one in objects:
        try:
            shape = shape_mask(one["segmentation"], size)
        except BadShape as error:
            wrong.append(f"{one['where']} {error}")
            continue
        if not shape.any():
            wrong.append(f"{one['where']} covers no pixel of its image")
            continue
        shapes.append((int(shape.sum()), values[one["category_id"]], shape))
    found = np.zeros(size, np.uint8)
    several = np.zeros(size, bool)
    for _, value, shape in sorted(shapes, key=lambda own: -own[0]):
        several |= shape & (found != 0) & (found != value)
        found[shape] = value
    return found, int(several.sum()), wrong


def _png(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG", compress_level=1)
    return content.getvalue()
