"""Annotations in Pascal VOC XML, one file per image."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from dlcli.datasets.boxes.annotations import Annotation, Annotations, Box, BoxFolder
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

_NAMED = 5
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(folder: BoxFolder, *, skip: bool) -> Annotations:
    """Read all XML files of a folder; classes are in alphabetical order.

    Coordinates are used unchanged: the edges of a box in pixels from the image's left and top. Boxes marked `difficult`
    are treated as crowds and not counted, as in VOC's own evaluation.

    Raises:
        DataError: a file is not VOC XML, or its image is missing.
    """
    files = folder.named(".xml")
    if not files:
        raise DataError("contains no XML files", str(folder.place))
    rows: list[Annotation] = []
    problems: list[Problem] = []
    missing: list[Stored] = []
    for file in files:
        try:
            found = _read(file, folder)
        except DataError as error:
            problems += error.problems
            if len(problems) >= _NAMED:
                break
            continue
        if found is None:
            missing.append(file)
        else:
            rows.append(found)
    hint = "Add its image, or leave such files out: dataset.on_bad=skip."
    if not skip:
        problems += [
            Problem("there is no image with its name", file.where, hint) for file in missing[:_NAMED]
        ]
    if problems:
        raise DataError(problems[:_NAMED])
    if not rows:
        raise DataError("contains no XML file with an image of the same name", str(folder.place))
    classes = tuple(sorted({box.label for row in rows for box in row.boxes}))
    return Annotations(rows, classes, tuple(_notices(missing, rows, folder)))


def _notices(missing: list[Stored], rows: list[Annotation], folder: BoxFolder) -> Iterator[Notice]:
    place = str(folder.place)
    if missing:
        names = first_names([file.name for file in missing])
        text = f"{counted(len(missing), 'annotation')} without an image left out: {names}"
        yield Notice("missing_images", len(missing), text, place)
    if crowds := sum(box.crowd for row in rows for box in row.boxes):
        text = f"{counted(crowds, 'difficult box', 'difficult boxes')}, treated as crowds"
        yield Notice("difficult_boxes", crowds, text, place, warns=False)


def _read(file: Stored, folder: BoxFolder) -> Annotation | None:
    """Return the annotation of a file; None if its image is missing."""
    try:
        root = ElementTree.fromstring(file.read())
    except ElementTree.ParseError as error:
        raise DataError(f"is not XML: {error}", file.where) from error
    if root.tag != "annotation":
        raise DataError(
            f"is not a Pascal VOC annotation: it begins with <{root.tag}>, not <annotation>", file.where
        )
    boxes = tuple(_box(file, number, node) for number, node in enumerate(root.findall("object"), start=1))
    # The name of the file comes before the name stated in it, because tools rename images without changing the latter.
    image = folder.image(file.name.rpartition("/")[2], file.name)
    if image is None and (name := root.findtext("filename")):
        image = folder.image(name, file.name)
    if image is None:
        return None
    try:
        size = (int(root.findtext("size/height", "0")), int(root.findtext("size/width", "0")))
    except ValueError:
        size = (0, 0)
    return Annotation(image, boxes, file.where, size=size if all(size) else None)


def _box(file: Stored, number: int, node: ElementTree.Element) -> Box:
    label = (node.findtext("name") or "").strip()
    where = f"object {number}{f' ({label})' if label else ''}"
    texts = [node.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        left, top, right, bottom = (float(text or "") for text in texts)
    except ValueError:
        lacking = next(side for side, text in zip(_SIDES, texts, strict=True) if not _is_number(text))
        raise DataError(f"{where} lacks the number {lacking}", file.where) from None
    if not label:
        raise DataError(f"{where} has no name", file.where)
    return Box((left, top, right, bottom), label, where, (node.findtext("difficult") or "0").strip() == "1")


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
