"""Pairs of images and masks, matched by name, with their parts of the split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.datasets.folders.class_folders import PartFolders, list_files
from dlcli.datasets.folders.part_words import part_names, part_of
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.folders.tree import suffix_of
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.files.paths import is_file
from dlcli.formatting import counted

# Names of folders, in lower case, without blanks, hyphens and underscores.
_IMAGES = {"images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "photos", "inputs"}
_MASKS = {
    "masks", "mask", "labels", "label", "annotations", "annotation", "annot", "segmentations", "segmentation",
    "segmentationclass", "gt", "gtfine", "groundtruth", "targets", "labelids",
}  # fmt: skip

# Maximum number of names that a message lists.
_NAMED = 5


@dataclass(frozen=True)
class Pairs:
    """Images and masks, in lists of equal length.

    Attributes:
        images: the images.
        masks: the mask of each.
        parts: train, val or test of each; "" if there are no parts.
        groups: the group of each; None if there are none.
        notices: reports of what was left out.
    """

    images: list[Stored]
    masks: list[Stored]
    parts: list[str]
    groups: list[str] | None = None
    notices: tuple[Notice, ...] = ()

    def only(self, rows: Sequence[int]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(
            [self.images[row] for row in rows],
            [self.masks[row] for row in rows],
            [self.parts[row] for row in rows],
            None if self.groups is None else [self.groups[row] for row in rows],
            self.notices,
        )


def list_pairs(
    path: Path, group: str | None, lists: Mapping[Any, str] | None, parts: PartFolders, *, skip: bool
) -> Pairs:
    """List the images and masks of a folder, tar or zip with the folders `images` and `masks`.

    They may be below or above folders of parts. A mask has the name of its image, apart from the suffix and an addition
    such as `_mask` that all masks share.

    Args:
        path: the folder or archive.
        group: a regular expression, whose first group (or match) in an image's name is its group.
        lists: for each part a file with the names of its images, one per line, relative to the folder.
        parts: whether folders named train, test and the like are parts of the split.
        skip: whether images without a mask are left out instead of raising an error.

    Raises:
        DataError: there are no such folders, images lack a mask, or a name occurs twice.
    """
    files, notices = list_files(path, image_suffixes(), "images")
    images = _by_key(files, _IMAGES)
    masks = _by_key(files, _MASKS)
    if not images or not masks:
        lacking = "images" if not images else "masks"
        raise DataError(
            f"contains no folder of {lacking}: it needs images/ and masks/ (below or above folders of parts, "
            "if there are any)",
            str(path),
            "Rename the folders, or give a table with a column of images and one of masks.",
        )
    added, masks = _without_addition(images, masks)
    if added:
        text = f"masks are named like their images with {added!r} appended"
        notices.append(Notice("mask_names", len(masks), text, str(path), warns=False))
    keys = sorted(images)
    if alone := [images[key] for key in keys if key not in masks]:
        notices.append(_alone(alone, "image", "mask", path, skip=skip))
        keys = [key for key in keys if key in masks]
    if alone := [masks[key] for key in sorted(masks) if key not in images]:
        notices.append(_alone(alone, "mask", "image", path, skip=True))
    if not keys:
        raise DataError("no mask is named like an image", str(path))
    named = part_names({folder for key in keys for folder in key[0]}) if parts == "auto" else []
    split = [_part([folder for folder in key[0] if folder in named]) for key in keys]
    if any(split) and not all(split):
        out = images[keys[split.index("")]]
        raise DataError(
            "is next to folders of parts, not in one of them",
            out.where,
            "Move it, or set dataset.parts=false.",
        )
    if lists:
        keys, split = _listed(path, keys, lists, notices)
    groups = (
        groups_of_names([images[key] for key in keys], group, [key[1] for key in keys]) if group else None
    )
    return Pairs([images[key] for key in keys], [masks[key] for key in keys], split, groups, tuple(notices))


_Key = tuple[tuple[str, ...], str]


def has_masks(files: Collection[Stored]) -> bool:
    """Return whether any image lies in a folder of masks."""
    return any(suffix_of(file.name) in image_suffixes() and _folder_of(file, _MASKS) for file in files)


def _folder_of(file: Stored, names: Collection[str]) -> list[int]:
    """Return which of the folders of a file have one of some names."""
    folders = file.name.split("/")[:-1]
    plain = [re.sub(r"[\s_-]+", "", folder.casefold()) for folder in folders]
    return [number for number, word in enumerate(plain) if word in names]


def _by_key(files: Collection[Stored], names: Collection[str]) -> dict[_Key, Stored]:
    """Return the files in folders with some names, keyed by their other folders and their name without suffix."""
    found: dict[_Key, Stored] = {}
    for file in files:
        *folders, name = file.name.split("/")
        places = _folder_of(file, names)
        if not places:
            continue
        key = (tuple(folders[: places[0]] + folders[places[0] + 1 :]), name.rpartition(".")[0])
        if key in found:
            raise DataError(
                f"differs from {found[key].name} only in suffix or folder",
                file.where,
                "Remove one of them.",
            )
        found[key] = file
    return found


def _without_addition(
    images: Mapping[_Key, Stored], masks: dict[_Key, Stored]
) -> tuple[str, dict[_Key, Stored]]:
    """Return the text that all names of masks append to those of their images, and the masks by name of image."""
    if any(key in images for key in masks):
        return "", masks
    stems = defaultdict(set)
    for folders, name in images:
        stems[folders].add(name)
    folders, name = next(iter(masks))
    for length in range(len(name) - 1, 0, -1):
        addition = name[length:]
        if name[:length] in stems[folders] and all(own.endswith(addition) for _, own in masks):
            return addition, {(own[0], own[1].removesuffix(addition)): file for own, file in masks.items()}
    return "", masks


def _part(folders: Sequence[str]) -> str:
    return next((part for folder in folders if (part := part_of(folder))), "")


def _alone(files: Sequence[Stored], noun: str, lacks: str, path: Path, *, skip: bool) -> Notice:
    """Return the notice of files without a counterpart; images without a mask raise an error unless skipped."""
    names = [file.name for file in files]
    if skip:
        text = f"{counted(len(files), f'{noun} without {lacks}', f'{noun}s without {lacks}')} left out"
        return Notice(f"{noun}s_without_{lacks}", len(files), f"{text}: {first_names(names)}", str(path))
    others = f", and {len(files) - 1:,} more images ({first_names(names[1:])})" if len(files) > 1 else ""
    raise DataError(
        f"has no {lacks}: the folder of masks contains no file of its name{others}",
        files[0].where,
        "Add it, or leave such images out: dataset.on_bad=skip.",
    )


def _listed(
    path: Path, keys: list[_Key], lists: Mapping[Any, str], notices: list[Notice]
) -> tuple[list[_Key], list[str]]:
    """Return the keys listed in files of names, and the part of each."""
    by_name: dict[str, list[_Key]] = defaultdict(list)
    for key in keys:
        by_name[key[1]].append(key)
        by_name["/".join([*key[0], key[1]])].append(key)
    parts: dict[_Key, str] = {}
    for word, name in lists.items():
        part = part_of(word)
        if part is None:
            raise DataError(f"{word} is not a part of a split", "dataset.lists", "Use train, val and test.")
        file = path / name if is_file(path / name) else Path(name)
        if not is_file(file):
            raise DataError(
                f"there is no file {name}", "dataset.lists", "Give files relative to dataset.path."
            )
        for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if not (words := line.split()):
                continue
            # A name may be given with or without its suffix, and may itself contain dots.
            tried = [words[0], words[0].rpartition("/")[2]]
            tried += [re.sub(r"\.\w+$", "", name) for name in tried]
            found = set(next(filter(None, map(by_name.get, tried)), ()))
            if len(found) != 1:
                what = "names no image" if not found else f"names {len(found)} images"
                raise DataError(
                    f"{words[0]} {what}", f"{file}, line {number}", "Give names relative to images/."
                )
            (key,) = found
            if parts.setdefault(key, part) != part:
                raise DataError(f"{words[0]} is in {part} and {parts[key]}", f"{file}, line {number}")
    if left := len(keys) - len(parts):
        text = f"{counted(left, 'image')} not named by any list of dataset.lists left out"
        notices.append(Notice("unlisted_images", left, text, str(path)))
    keys = [key for key in keys if key in parts]
    return keys, [parts[key] for key in keys]
