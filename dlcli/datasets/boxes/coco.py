"""Annotations in COCO's JSON: `images`, `annotations` with `bbox` [left, top, width, height], and `categories`."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlcli.datasets.boxes.annotations import Annotation, Annotations, Box, BoxFolder, parts_in
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

_KEYS = ("images", "annotations", "categories")
_FOUND_BY = (b'"images"', b'"annotations"')
# Files of boxes begin with `instances_`; COCO's files of other tasks are in the same folder.
_BOXES, _OTHERS = "instances_", ("person_keypoints_", "captions_", "stuff_", "panoptic_", "image_info_")
_NAMED = 5


def coco_files(folder: BoxFolder) -> list[Stored]:
    """Return the JSON files that contain the keys of COCO, and damaged ones beside them.

    If `dataset.path` is a JSON file, return that file.
    """
    files = folder.named(".json")
    if folder.annotations:
        return [file for file in files if file.name == folder.annotations]
    found = {file: [key in content for key in _FOUND_BY] for file in files for content in (file.read(),)}
    damaged = {file for file in files if not all(found[file]) and not _is_json(file.read())}
    if not any(all(found[file]) or (any(found[file]) and file in damaged) for file in files):
        return []
    return [file for file in files if all(found[file]) or file in damaged]


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _of_boxes(files: Sequence[Stored]) -> list[Stored]:
    """Return the files of boxes, if there are any; otherwise all files."""
    names = {file.name: file.name.rpartition("/")[2] for file in files}
    if not any(name.startswith(_BOXES) for name in names.values()):
        return list(files)
    return [file for file in files if not names[file.name].startswith(_OTHERS)]


def coco_documents(
    folder: BoxFolder, needed: str = "bbox"
) -> tuple[dict[Stored, dict[str, Any]], dict[int, str], list[Notice]]:
    """Return the content of all COCO files of a folder, the names of their categories, and which files are not read.

    Args:
        folder: the folder.
        needed: the key that each annotation needs.

    Raises:
        DataError: a file is not COCO JSON, or two categories have one name.
    """
    all_files = coco_files(folder)
    files = _of_boxes(all_files)
    if not files:
        raise DataError(
            "contains no COCO JSON, a file with the keys images, annotations and categories",
            str(folder.place),
        )
    documents = {file: _document(file, needed) for file in files}
    names: dict[int, str] = {}
    for file, document in documents.items():
        for category in document["categories"]:
            number, name = category["id"], str(category["name"])
            if names.setdefault(number, name) != name:
                raise DataError(f"category {number} is called {name} and {names[number]}", file.where)
    if twice := next((name for name in names.values() if list(names.values()).count(name) > 1), None):
        raise DataError(
            f"two categories have the name {twice}", files[0].where, "Give each category a unique name."
        )
    if len(files) == len(all_files):
        return documents, names, []
    others = [file.name for file in all_files if file not in files]
    text = f"{counted(len(others), 'file')} of other tasks not read: {first_names(others)}"
    return documents, names, [Notice("other_files", len(others), text, str(folder.place), warns=False)]


def read_coco(folder: BoxFolder, *, skip: bool) -> Annotations:
    """Read all COCO files of a folder.

    Raises:
        DataError: a file is not COCO JSON, or names a missing image or an undefined category.
    """
    documents, names, notices = coco_documents(folder)
    rows: list[Annotation] = []
    missing: list[tuple[Stored, str]] = []
    for file, document in documents.items():
        rows += _rows(file, document, names, folder, missing)
    notices += missing_images(missing, folder, skip=skip)
    notices += _unusual(documents, str(folder.place))
    used = {box.label for row in rows for box in row.boxes}
    order = [names[number] for number in sorted(names)]
    # Exports of some annotation tools define a category 0 without boxes, whose name is that of the dataset.
    if len(order) > 1 and order[0] not in used and any(
        category.get("supercategory") == order[0] for document in documents.values()
        for category in document["categories"]
    ):  # fmt: skip
        text = f"category {order[0]} has no boxes and is the supercategory of the others: left out"
        notices.append(Notice("empty_categories", 1, text, str(folder.place), warns=False))
        order = order[1:]
    return Annotations(rows, tuple(dict.fromkeys(order)), tuple(notices))


def _unusual(documents: Mapping[Stored, Mapping[str, Any]], place: str) -> list[Notice]:
    """Return notices on crowds, and on annotations with equal ids."""
    entries = [document["annotations"] for document in documents.values()]
    notices = []
    if crowds := sum(bool(entry.get("iscrowd")) for own in entries for entry in own):
        text = f"{counted(crowds, 'crowd')} (iscrowd), where detections are neither correct nor wrong"
        notices.append(Notice("crowds", crowds, text, place, warns=False))
    ids = [[str(entry["id"]) for entry in own if "id" in entry] for own in entries]
    if repeated := sum(len(own) - len(set(own)) for own in ids):
        text = f"{counted(repeated, 'annotation')} with the id of an earlier one; all are used"
        notices.append(Notice("repeated_ids", repeated, text, place))
    return notices


def missing_images(missing: Sequence[tuple[Stored, str]], folder: BoxFolder, *, skip: bool) -> list[Notice]:
    """Return the notice on images that are named but missing, or raise an error that names them.

    Args:
        missing: the file that names each image, and its name.
        folder: the folder.
        skip: whether missing images are left out.
    """
    if not missing:
        return []
    if not skip:
        raise DataError([_missing(name, file, folder) for file, name in missing[:_NAMED]])
    lost = first_names([name for _, name in missing])
    text = f"{counted(len(missing), 'image')} named by annotations, but missing, left out: {lost}"
    return [Notice("missing_images", len(missing), text, str(folder.place))]


def _document(file: Stored, needed: str) -> dict[str, Any]:
    """Return the content of a COCO file after checking its lists."""
    try:
        document = json.loads(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", file.where) from error
    except json.JSONDecodeError as error:
        raise DataError(f"is not JSON: {error.msg}", f"{file.where}, line {error.lineno}") from error
    except RecursionError as error:
        raise DataError("is not COCO JSON: its values are nested too deeply", file.where) from error
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in _KEYS):
        lacking = [key for key in _KEYS if not isinstance(document, dict) or key not in document]
        raise DataError(
            f"is not COCO JSON: it lacks {', '.join(lacking) or 'a list of ' + ' or '.join(_KEYS)}",
            file.where,
            "COCO JSON has the lists images, annotations and categories.",
        )
    for key, wanted in (("images", ("id", "file_name")), ("categories", ("id", "name")),
                        ("annotations", ("image_id", "category_id", needed))):  # fmt: skip
        for number, entry in enumerate(document[key]):
            lacking = [name for name in wanted if not isinstance(entry, Mapping) or name not in entry]
            if lacking:
                raise DataError(f"{key}[{number}] has no {' and no '.join(lacking)}", file.where)
            for name in _NUMBERS[key]:
                _check_number(entry, name, f"{key}[{number}]", file)
    ids = [image["id"] for image in document["images"]]
    if len(set(ids)) < len(ids):
        twice = next(own for own, times in Counter(ids).items() if times > 1)
        names = " and ".join(str(image["file_name"]) for image in document["images"] if image["id"] == twice)
        raise DataError(
            f"has two images with the id {twice!r}: {names}", file.where, "Give each image a unique id."
        )
    return document


# Entries of each list that must be numbers. The id of an image may be text.
_NUMBERS = {
    "images": ("id", "height", "width"),
    "categories": ("id",),
    "annotations": ("image_id", "category_id", "iscrowd"),
}
# Numbers that may be absent.
_OPTIONAL = ("height", "width", "iscrowd")


def _check_number(entry: dict[str, Any], name: str, where: str, file: Stored) -> None:
    """Convert a number that is written as text or as a float to an integer.

    Raises:
        DataError: the entry is not an integer.
    """
    value: Any = entry.get(name)
    if type(value) is int or (value is None and name in _OPTIONAL) or (name == "iscrowd" and value in (0, 1)):
        return
    is_written = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)
    if is_written or (isinstance(value, float) and value.is_integer()):
        entry[name] = int(value)
    elif not (isinstance(value, str) and name in ("id", "image_id") and not where.startswith("categories")):
        raise DataError(f"{where} has the {name} {value!r}, which is not an integer", file.where)


def _missing(name: str, file: Stored, folder: BoxFolder) -> Problem:
    hint = "Add it, or leave such images out: dataset.on_bad=skip."
    if others := folder.same_stem(name):
        hint = f"There is {others[0].name}: correct file_name if this image is meant. {hint}"
    return Problem(f"there is no image {name}", file.where, hint)


def _rows(
    file: Stored,
    document: Mapping[str, Any],
    names: Mapping[int, str],
    folder: BoxFolder,
    missing: list[tuple[Stored, str]],
) -> Iterator[Annotation]:
    known = {image["id"] for image in document["images"]}
    boxes: dict[Any, list[Box]] = defaultdict(list)
    problems: list[Problem] = []
    for number, entry in enumerate(document["annotations"]):
        where = f"annotation {entry.get('id', number)}"
        if (message := _mistake(entry, known, names)) is not None:
            choices = ", ".join(f"{code} {name}" for code, name in sorted(names.items())[:12])
            hint = f"Its categories are {choices}." if entry["category_id"] not in names else ""
            problems.append(Problem(f"{where} {message}", file.where, hint))
            if len(problems) == _NAMED:
                break
            continue
        left, top, width, height = map(float, entry["bbox"])
        corners = (left, top, left + width, top + height)
        label = names[entry["category_id"]]
        boxes[entry["image_id"]].append(Box(corners, label, where, bool(entry.get("iscrowd", 0))))
    if problems:
        raise DataError(problems)
    part = part_in_name(file.name)
    for image in document["images"]:
        found = folder.image(str(image["file_name"]), file.name)
        if found is None:
            missing.append((file, str(image["file_name"])))
            continue
        size = (image["height"], image["width"]) if image.get("height") and image.get("width") else None
        yield Annotation(found, tuple(boxes[image["id"]]), file.where, part, size)


def _mistake(entry: Mapping[str, Any], images: set[Any], names: Mapping[int, str]) -> str | None:
    """Return what is wrong with an annotation, as the end of a sentence that begins with its name; None if it
    is valid."""
    box = entry["bbox"]
    if entry["category_id"] not in names:
        return f"has the category_id {entry['category_id']!r}, which is not one of the categories"
    if entry["image_id"] not in images:
        return f"has the image_id {entry['image_id']!r}, which is not one of the images"
    if not isinstance(box, Sequence) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        return f"has the bbox {box}, not four numbers"
    return None


def part_in_name(name: str) -> str:
    """Return the part denoted by a file's name (`instances_train2017.json`) or folder; "" if none is."""
    words = re.split(r"[\s_.-]+", name.rpartition("/")[2].rpartition(".")[0])
    return next((part for word in words if (part := part_of(word))), "") or parts_in(name)
