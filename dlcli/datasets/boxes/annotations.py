"""Annotations as the files state them, in one form for all formats, and the files of a dataset of boxes."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dlcli.datasets.folders.archives import tree_of_archive
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.folders.tree import suffix_of, tree_of_folder
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.notices import Notice
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder
from dlcli.formatting import counted

# Folder of VOC's lists of images, one per part of the split.
_LISTS = ("imagesets", "main")


@dataclass(frozen=True)
class Box:
    """A box as stated by a file.

    Attributes:
        corners: left, top, right and bottom, in pixels, or shares of the image's sides.
        label: name of its class.
        where: its place in the file, for messages.
        crowd: whether it encloses several objects that are not annotated one by one.
    """

    corners: tuple[float, float, float, float]
    label: str
    where: str
    crowd: bool = False


@dataclass(frozen=True)
class Annotation:
    """The boxes of an image.

    Attributes:
        image: the image.
        boxes: its boxes.
        file: the file that contains them, for messages.
        part: train, val or test; "" if the format names none.
        size: height and width in pixels according to the file; None if it does not state them.
        relative: whether coordinates are shares of the image's sides.
    """

    image: Stored
    boxes: tuple[Box, ...]
    file: str
    part: str = ""
    size: tuple[int, int] | None = None
    relative: bool = False


@dataclass(frozen=True)
class Annotations:
    """All annotations of a dataset, sorted by the names of their images.

    Attributes:
        rows: one annotation per image.
        classes: names of the classes in the order of their codes.
        notices: reports of what was left out.
    """

    rows: list[Annotation]
    classes: tuple[str, ...]
    notices: tuple[Notice, ...] = ()

    def only(self, rows: Sequence[int]) -> Annotations:
        """Return some of the rows."""
        return replace(self, rows=[self.rows[row] for row in rows])


@dataclass
class BoxFolder:
    """The files of a dataset of boxes.

    Attributes:
        place: the folder, archive or file of annotations.
        files: all files in the order of their names.
        annotations: name of the file of annotations to read; "" reads all.
        images: the images among these files.
    """

    place: Path
    files: list[Stored]
    annotations: str = ""
    images: list[Stored] = field(default_factory=list)

    def __post_init__(self) -> None:
        wanted = image_suffixes()
        self.images = [file for file in self.files if suffix_of(file.name) in wanted]
        self._by_name = {file.name: file for file in self.files}
        self._by_stem: dict[str, list[Stored]] = defaultdict(list)
        for file in self.images:
            self._by_stem[stem_of(file.name)].append(file)

    def named(self, *suffixes: str) -> list[Stored]:
        """Return the files with one of the given suffixes."""
        return [file for file in self.files if suffix_of(file.name) in suffixes]

    def file(self, name: str) -> Stored | None:
        """Return the file with a name in the dataset's folder."""
        return self._by_name.get(name)

    def image(self, name: str, beside: str) -> Stored | None:
        """Return the image that an annotation names: relative to its file, relative to the folder, or the only one of
        that name.

        Args:
            name: path or name of the image, with or without its suffix.
            beside: name of the file of annotations. Images of other parts of the split are ignored; among several
                images of one name, the one of the same part, or the one whose folder shares the longest path with this
                file, is returned.
        """
        name = name.replace("\\", "/")
        for tried in (posixpath.normpath(posixpath.join(posixpath.dirname(beside), name)), name):
            if tried in self._by_name and suffix_of(tried) in image_suffixes():
                return self._by_name[tried]
        own = parts_in(beside)
        found = [
            file for file in self.same_stem(name)
            if (suffix_of(name) not in image_suffixes() or f"/{file.name}".endswith(f"/{name}"))
            and (not own or parts_in(file.name) in ("", own))
        ]  # fmt: skip
        if len(found) < 2:
            return found[0] if found else None
        best = [file for file in found if own and parts_in(file.name) == own] or found
        ranked = sorted(best, key=lambda file: -_shared(file.name.split("/"), beside.split("/")))
        if len(ranked) > 1 and _shared(ranked[0].name.split("/"), beside.split("/")) == _shared(
            ranked[1].name.split("/"), beside.split("/")
        ):
            raise DataError(
                f"{name} may be {ranked[0].name} or {ranked[1].name}",
                beside,
                "Give images of one name in several folders with their path.",
            )
        return ranked[0]

    def same_stem(self, name: str) -> list[Stored]:
        """Return the images with a name, in any folder and with any suffix."""
        return self._by_stem.get(stem_of(name), [])

    def lists(self) -> dict[str, str]:
        """Return image name to part, read from the lists train.txt, val.txt and test.txt; empty if there are no lists.

        Raises:
            DataError: a name is in two of them.
        """
        found: dict[str, Stored] = {}
        shared = self._depth
        for file in self.named(".txt"):
            *folders, name = file.name.casefold().split("/")
            stem = name.rpartition(".")[0]
            is_list = tuple(folders[-2:]) == _LISTS or len(folders) <= shared
            if is_list and (part_of(stem) or stem == "trainval"):
                if stem in found and tuple(found[stem].name.casefold().split("/")[-3:-1]) == _LISTS:
                    continue
                found[stem] = file
        if "train" in found or "val" in found:
            found.pop("trainval", None)
        parts: dict[str, str] = {}
        for stem, file in found.items():
            part = "train" if stem == "trainval" else str(part_of(stem))
            for number, line in enumerate(file.read().decode("utf-8-sig", "replace").splitlines(), start=1):
                if not (words := line.split()):
                    continue
                key = stem_of(words[0].replace("\\", "/"))
                if parts.setdefault(key, part) != part:
                    raise DataError(f"{key} is in {part} and {parts[key]}", f"{file.where}, line {number}")
        return parts

    @property
    def _depth(self) -> int:
        """Number of leading folders that all files share."""
        first = [file.name.split("/")[:-1] for file in self.files]
        depth = 0
        while first and all(len(names) > depth and names[depth] == first[0][depth] for names in first):
            depth += 1
        return depth


def box_folder(path: Path) -> BoxFolder:
    """Return the files of a folder, .tar or .zip, or of the folder that contains a JSON file.

    Raises:
        DataError: there is no such file or folder, or it has no images.
    """
    if is_folder(path):
        files = tree_of_folder(path).files
    elif is_file(path) and path.suffix.lower() == ".json":
        return _of_file(path)
    elif is_file(path):
        files = tree_of_archive(path).files
    else:
        raise DataError(
            "there is no such file or folder", str(path), "Give a folder, a .tar, a .zip or a COCO JSON."
        )
    return _with_images(BoxFolder(path, files))


def _of_file(path: Path) -> BoxFolder:
    """Return the files of a JSON file's folder, or of the parent folder that contains the images."""
    found = BoxFolder(path, tree_of_folder(path.parent).files, path.name)
    if not found.images and path.absolute().parent.name.lower().startswith("annot"):
        folder = path.absolute().parent
        found = BoxFolder(path, tree_of_folder(folder.parent).files, f"{folder.name}/{path.name}")
    return _with_images(found)


def _with_images(found: BoxFolder) -> BoxFolder:
    if not found.images:
        raise DataError(
            f"contains no images ({counted(len(found.files), 'other file')})",
            str(found.place),
            "Give the folder that holds both images and annotations.",
        )
    return found


def stem_of(name: str) -> str:
    """Return the name of a file without its folders and without the suffix of an image or annotation."""
    last = name.rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return stem if dot and f".{ending.lower()}" in {*image_suffixes(), ".xml", ".txt"} else last


def parts_in(name: str) -> str:
    """Return the part of the split that a folder in a file's path denotes; "" if none does."""
    return next((part for folder in name.split("/")[:-1] if (part := part_of(folder))), "")


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(one[:-1], other[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count
