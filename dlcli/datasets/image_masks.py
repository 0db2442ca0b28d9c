"""Images with a mask each, the class of every pixel: folders, a table of pairs, or objects of COCO's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from dlcli.datasets.boxes.annotations import box_folder
from dlcli.datasets.data import Data
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import PartFolders
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.images.image_loading import ImageOptions, load_images
from dlcli.datasets.images.path_tables import image_entries, read_paths, split_parts
from dlcli.datasets.labelled_files import with_targets
from dlcli.datasets.masks.coco_masks import coco_pairs, is_coco
from dlcli.datasets.masks.mask_classes import read_names
from dlcli.datasets.masks.mask_loading import decided_classes, load_masks, scan_masks
from dlcli.datasets.masks.mask_pairs import Pairs, list_pairs
from dlcli.datasets.tables.read_table import is_table
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder, typed


def load(
    path: str,
    classes: Sequence[str] | str | None = None,
    ignore: int | str | Sequence[int | str] | None = None,
    image: str | None = None,
    mask: str | None = None,
    split: str | None = None,
    group: str | None = None,
    lists: Mapping[Literal["train", "val", "test"], str] | None = None,
    parts: PartFolders = "auto",
    **options: Annotated[Any, ImageOptions],
) -> Data:
    """Load images, `(N, H, W)` if they are grey, else `(N, H, W, 3)`, and masks `(N, H, W)`.

    Args:
        path: a folder, .tar or .zip with the folders `images` and `masks`, below or above folders of parts, if any; a
            table of pairs; or COCO's JSON next to its images, or a folder with such files and no folder of masks.
        classes: names of the classes in the order of the masks' values from 0 on, or a file with a name per line;
            None takes `classes.txt` of the folder, else the values themselves.
        ignore: value or name of pixels without a class, which the loss and the metrics ignore; or a list of several.
        image: a table's column of images; None takes the first column.
        mask: a table's column of masks; None takes the second column.
        split: a table's column with train, val or test for each pair.
        group: rows of a group are kept together: a table's column, or for folders a regular expression, whose first
            group (or match) in an image's name is its group.
        lists: for folders, files with the names of each part's images, one per line.
        parts: whether folders named train, test and the like are parts of the split; false ignores them.
        options: fields of `ImageOptions`.

    Raises:
        DataError: a file is missing or invalid, an image has no mask or one of another size, or a pixel has no class.
    """
    asked, place = ImageOptions(**options), typed(path)
    skip = asked.on_bad == "skip"
    names: list[tuple[str, int]] | None
    if is_coco(place):
        if classes is not None:
            raise DataError("COCO's categories are the classes", "dataset.classes", "Leave it out.")
        pairs, names = coco_pairs(box_folder(place), group, parts=parts == "auto", skip=skip)
    elif is_file(place) and not is_archive(place) and is_table(place):
        pairs = _table(place, image, mask, split, group)
        names = read_names(classes, place.parent)
    else:
        pairs = list_pairs(place, group, lists, parts, skip=skip)
        names = read_names(classes, place if is_folder(place) else place.parent)
        pairs = replace(
            pairs, notices=tuple(notice for notice in pairs.notices if notice.key != "other_files")
        )
    good, values, left = scan_masks(pairs.images, pairs.masks, skip=skip)
    decided = decided_classes(values, names, ignore, place)
    pairs = pairs.only(good)
    found = load_images(place, pairs.images, asked)
    pairs = pairs.only(found.rows.tolist())
    masks = load_masks(
        pairs.masks,
        decided,
        (found.x.shape[1], found.x.shape[2]),
        asked.fit,
        in_memory=not isinstance(found.x, ImageFiles),
    )
    notices = (*pairs.notices, *left, *decided.notices)
    return with_targets(place, found, masks, decided.names, pairs.parts, pairs.groups, notices)


def _table(file: Path, image: str | None, mask: str | None, split: str | None, group: str | None) -> Pairs:
    """Return the pairs named by a table; paths are relative to the table's folder."""
    source = read_paths(file, image, (mask, split, group))
    columns = [str(name) for name in source.frame.columns]
    image = image or columns[0]
    mask = mask or next((name for name in columns if name not in (image, split, group)), None)
    if mask is None:
        raise DataError("has no column of masks", str(file), "Name it: dataset.mask=COLUMN.")
    source.require([mask], "dataset.mask")
    source.require([group] if group else [], "dataset.group")
    images, notices = image_entries(source, image)
    masks, more = image_entries(source, mask, "dataset.mask")
    source.require([split] if split else [], "dataset.split")
    groups = [str(name) for name in source.frame[group]] if group else None
    return Pairs(images, masks, split_parts(source, split), groups, (*notices, *more))
