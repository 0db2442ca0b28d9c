"""Annotations in YOLO text files: one per image, with a line `class x y width height` for each box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from dlcli.datasets.boxes.annotations import Annotation, Annotations, Box, BoxFolder, stem_of
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

_NAMED = 5
# Folder names that separate images from labels.
_KINDS = ("images", "labels", "jpegimages", "annotations")
# Files with the names of classes: one per line, or below the key `names` of a YAML file.
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "data.yaml", "data.yml", "dataset.yaml")


def label_files(folder: BoxFolder) -> dict[str, list[Stored]]:
    """Return name to text files that may contain the boxes of the image with that name."""
    stems = {stem_of(image.name) for image in folder.images}
    found: dict[str, list[Stored]] = {}
    for file in folder.named(".txt"):
        if (stem := stem_of(file.name)) in stems:
            found.setdefault(stem, []).append(file)
    return found


def names_of_folder(folder: BoxFolder) -> dict[int, str]:
    """Return class number to name, from `classes.txt`, `data.yaml` or similar; empty if there is no such file.

    Raises:
        DataError: a YAML file has no list of names, or names are missing or occur twice.
    """
    for wanted in NAME_FILES:
        for file in folder.files:
            if file.name.rpartition("/")[2].lower() == wanted:
                found = _names(file)
                names = list(found.values())
                if twice := next((name for name in names if names.count(name) > 1), None):
                    raise DataError(
                        f"names two classes {twice}", file.where, "Give each class a unique name."
                    )
                return found
    return {}


def _names(file: Stored) -> dict[int, str]:
    text = file.read().decode("utf-8-sig", "replace")
    if not file.name.lower().endswith((".yaml", ".yml")):
        lines = [line.strip() for line in text.rstrip().splitlines()]
        if "" in lines:
            where = f"{file.where}, line {lines.index('') + 1}"
            raise DataError("is blank, but each line must name the class of its number", where, "Remove it.")
        return dict(enumerate(lines))
    try:
        names = (yaml.safe_load(text) or {}).get("names")
    except (yaml.YAMLError, AttributeError, RecursionError) as error:
        raise DataError("is not a YAML file with the key names", file.where) from error
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError("has no list of names", file.where)
    try:
        return {int(number): str(names[number]) for number in sorted(names, key=int)}
    except (TypeError, ValueError) as error:
        raise DataError("has names whose keys are not class numbers", file.where) from error


def read_yolo(folder: BoxFolder, classes: Sequence[str] | None) -> Annotations:
    """Read the boxes of all images; an image without a file has no boxes.

    Args:
        folder: the files.
        classes: names of the classes 0, 1, ..., if no `classes.txt` or `data.yaml` names them.

    Raises:
        DataError: the classes have no names, or a line is not a box or has an unknown class.
    """
    labels = label_files(folder)
    names = names_of_folder(folder) or dict(enumerate(classes or ()))
    if not names:
        raise DataError(
            "has no classes.txt or data.yaml, which names the classes",
            str(folder.place),
            "Add one, or name the classes: dataset.classes=[NAME,NAME].",
        )
    rows: list[Annotation] = []
    problems: list[Problem] = []
    lacking: list[str] = []
    for image in folder.images:
        own = _own(image, labels.get(stem_of(image.name), []), folder)
        if own is None:
            lacking.append(image.name)
            rows.append(Annotation(image, (), image.where, relative=True))
            continue
        try:
            rows.append(Annotation(image, _boxes(own, names), own.where, relative=True))
        except DataError as error:
            problems += error.problems
            if len(problems) >= _NAMED:
                break
    if problems:
        raise DataError(problems[:_NAMED])
    notices = []
    if lacking:
        text = f"{counted(len(lacking), 'image')} without a label file: {first_names(lacking)}"
        most = 2 * len(lacking) > len(folder.images)
        text += ", used as images without boxes"
        notices.append(Notice("images_without_file", len(lacking), text, str(folder.place), warns=most))
    return Annotations(rows, tuple(names.values()), tuple(notices))


def _own(image: Stored, files: Sequence[Stored], folder: BoxFolder) -> Stored | None:
    """Return the label file of an image: in the matching folder, or the only file of its name if there is
    only one such image."""
    place = _place(image.name)
    if same := [file for file in files if _place(file.name) == place]:
        return same[0]
    if len(files) != 1 or len(folder.same_stem(image.name)) != 1:
        return None
    other = _place(files[0].name)
    short = min(len(place), len(other))
    return files[0] if place[:short] == other[:short] else None


def _place(name: str) -> tuple[str, ...]:
    """Return the folders of a file, without those that separate labels from images."""
    return tuple(folder for folder in name.split("/")[:-1] if folder.lower() not in _KINDS)


def _boxes(file: Stored, names: Mapping[int, str]) -> tuple[Box, ...]:
    boxes = []
    for number, line in enumerate(file.read().decode("utf-8-sig", "replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{file.where}, line {number}"
        try:
            values = [float(word) for word in words]
            code = int(words[0])
        except ValueError:
            values, code = [], 0
        if len(values) == 5:
            x, y, width, height = values[1:]
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        elif len(values) > 6 and len(values) % 2 == 1:  # a polygon: take its bounding box
            corners = (min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2]))
        else:
            more = " Six values are a prediction with its score, not an annotation." * (len(values) == 6)
            raise DataError(
                f"is not a box: {line.strip()[:60]!r}", where, "A line is: class x y width height, the latter as "
                f"shares of the image's sides.{more}",
            )  # fmt: skip
        if code not in names:
            known = ", ".join(f"{own} {name}" for own, name in list(names.items())[:12])
            raise DataError(
                f"has the class {code}, for which there is no name", where, f"The classes are {known}."
            )
        boxes.append(Box(corners, names[code], f"line {number} ({names[code]})"))
    return tuple(boxes)
