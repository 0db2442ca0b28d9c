"""Check boxes against the sizes of their images; invalid boxes raise an error, or are left out and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcli.datasets.boxes.annotations import Annotation, Annotations, Box
from dlcli.datasets.boxes.boxes import Boxes
from dlcli.datasets.folders.bad_files import BadFile
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.images.image_decoder import Fit, read_header
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

_NAMED = 5
# Tolerance in pixels: how far a box may extend beyond the image's edge, because coordinates are rounded.
_OVER, _ROUNDED = 1.0, 2
# Boxes of which a smaller share is visible in a cropped image are left out.
_VISIBLE = 0.25
_LEAVE_OUT = "Correct it, or leave such boxes out: dataset.on_bad=skip."


@dataclass
class _Found:
    """Findings of the checks, by kind."""

    problems: list[Problem] = field(default_factory=list)
    bad_rows: list[int] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    swapped: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    cropped: int = 0


def checked_boxes(
    annotations: Annotations, view: tuple[int, int] | None, fit: Fit, *, skip: bool
) -> tuple[Annotations, Boxes, list[Notice]]:
    """Return the rows with valid boxes, their boxes, and notices of boxes that were left out or clipped.

    Boxes without area are left out. A box equal to another one is used and named. Boxes that extend beyond the edge by
    up to one pixel are clipped.

    Args:
        annotations: the rows.
        view: height and width that images are resized to; None keeps their size.
        fit: with `crop`, boxes are relative to the visible part of the image.
        skip: whether boxes outside their image are clipped or left out, and rows with a wrong size left out, instead of
            raising an error.

    Raises:
        DataError: a box lies outside its image, ends before it begins, or has non-finite coordinates, or a file states
            a size that differs from that of its image.
    """
    found = _Found()
    codes = {name: code for code, name in enumerate(annotations.classes)}
    kept: list[int] = []
    rows: list[list[tuple[Box, tuple[float, ...]]]] = []
    sizes: list[tuple[int, int]] = []
    headers = in_threads(read_header, [row.image for row in annotations.rows])
    for number, (row, header) in enumerate(zip(annotations.rows, headers, strict=True)):
        if isinstance(header, BadFile):  # reported, with its reason, when images are loaded
            size = row.size or (1, 1)
        elif row.size is not None and row.size != header.size:
            stated, own = (f"{width} x {height}" for height, width in (row.size, header.size))
            message = f"states a size of {stated} pixels, but the image {row.image.name} has {own}"
            hint = "Correct it, or leave such images out: dataset.on_bad=skip."
            found.problems.append(Problem(message, row.file, hint))
            found.bad_rows.append(number)
            continue
        else:
            size = header.size
        valid = [(box, corners) for box in row.boxes if (corners := _corners(box, row, size, found, skip))]
        seen: set[tuple[Any, ...]] = set()
        for box, corners in valid:
            if (box.label, *corners) in seen:
                found.repeated.append(_name(box, row))
            seen.add((box.label, *corners))
        if view is not None and fit == "crop":
            valid, size = _in_view(valid, size, view, found)
        kept.append(number)
        rows.append(valid)
        sizes.append(size)
    if found.problems and not skip:
        raise DataError(found.problems[:_NAMED])
    if unknown := [
        (row, box) for row in annotations.rows for box in row.boxes if box.label not in codes
    ]:  # of `classes` that the user has named
        row, box = unknown[0]
        raise DataError(
            f"{box.where} has the class {box.label}, which is not in dataset.classes ({', '.join(codes)})",
            row.file,
            "Add it to dataset.classes, or leave dataset.classes out.",
        )
    flat = [pair for valid in rows for pair in valid]
    heights = np.repeat(np.array(sizes, np.float64).reshape(-1, 2), [len(valid) for valid in rows], axis=0)
    pixels = np.array([corners for _, corners in flat], np.float64).reshape(-1, 4)
    boxes = Boxes(
        pixels / heights[:, [1, 0, 1, 0]],
        np.array([codes[box.label] for box, _ in flat], np.int64),
        np.array([box.crowd for box, _ in flat], np.bool_),
        np.array([len(valid) for valid in rows], np.int64),
        np.array(sizes, np.int64),
    )
    return annotations.only(kept), boxes, _notices(found, annotations, boxes)


def _corners(
    box: Box, row: Annotation, size: tuple[int, int], found: _Found, skip: bool
) -> tuple[float, ...] | None:
    """Return the corners in pixels, within the image; None for a box that is left out."""
    height, width = size
    scale = (width, height, width, height) if row.relative else (1, 1, 1, 1)
    values = [value * side for value, side in zip(box.corners, scale, strict=True)]
    name = _name(box, row)
    if not all(map(math.isfinite, values)):
        message = f"{box.where} has a coordinate that is not a finite number"
        found.problems.append(Problem(message, row.file, _LEAVE_OUT))
        found.not_finite.append(name)
        return None
    left, top, right, bottom = (round(value, _ROUNDED) for value in values)
    shown = ", ".join(f"{value:g}" for value in (left, top, right, bottom))
    if right < left or bottom < top:
        message = f"{box.where} ends before it begins: {shown} (left, top, right, bottom)"
        found.problems.append(Problem(message, row.file, _LEAVE_OUT))
        found.swapped.append(name)
        return None
    if right == left or bottom == top:
        found.zero.append(name)
        return None
    inside = (max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom))
    over = max(-left, -top, right - width, bottom - height)
    if over > _OVER:
        message = (
            f"{box.where} lies outside its image: {shown} (left, top, right, bottom), in {width} x {height}"
        )
        hint = (
            "Correct it, or clip such boxes (those that are not visible are left out): dataset.on_bad=skip."
        )
        found.problems.append(Problem(message, row.file, hint))
        if not skip:
            return None
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        found.outside.append(name)
        return None
    if over > 0:
        found.clipped.append(name)
    return inside


def _name(box: Box, row: Annotation) -> str:
    return f"{row.file.rpartition('/')[2]} {box.where}"


def _in_view(
    valid: Sequence[tuple[Box, tuple[float, ...]]],
    size: tuple[int, int],
    view: tuple[int, int],
    found: _Found,
) -> tuple[list[tuple[Box, tuple[float, ...]]], tuple[int, int]]:
    """Return the boxes within the visible centre of a cropped image, in pixels of the file, and the size of
    the centre."""
    height, width = size
    share = min(height / view[0], width / view[1])
    seen = round(view[0] * share), round(view[1] * share)
    down, right = (height - seen[0]) / 2, (width - seen[1]) / 2
    kept = []
    for box, corners in valid:
        moved = np.array(corners) - [right, down, right, down]
        inside = np.clip(moved, 0, [seen[1], seen[0], seen[1], seen[0]])
        area = np.prod(inside[2:] - inside[:2]) / np.prod(moved[2:] - moved[:2])
        if area < _VISIBLE:
            found.cropped += 1
        else:
            kept.append((box, tuple(inside.tolist())))
    return kept, seen


def _notices(found: _Found, annotations: Annotations, boxes: Boxes) -> list[Notice]:
    def of(key: str, names: Sequence[str], what: str, warns: bool = True) -> list[Notice]:
        if not names:
            return []
        text = f"{counted(len(names), 'box', 'boxes')} {what}: {first_names(names, _NAMED)}"
        return [Notice(key, len(names), text, warns=warns)]

    notices = [
        *of("zero_area_boxes", found.zero, "without area left out"),
        *of("swapped_boxes", found.swapped, "with an end before the beginning left out"),
        *of("not_finite_boxes", found.not_finite, "with a coordinate that is not a finite number left out"),
        *of("repeated_boxes", found.repeated, "of the place and class of another one, used all the same"),
        *of("boxes_outside", found.outside, "outside the image left out"),
        *of("clipped_boxes", found.clipped, "clipped to the image"),
    ]
    if found.bad_rows:
        names = first_names([annotations.rows[row].file for row in found.bad_rows])
        text = f"{counted(len(found.bad_rows), 'image')} of another size than stated left out: {names}"
        notices.append(Notice("other_sizes", len(found.bad_rows), text))
    if found.cropped:
        text = f"{counted(found.cropped, 'box', 'boxes')} outside the cropped image left out"
        notices.append(
            Notice("cropped_boxes", found.cropped, text, "dataset.fit", "Set dataset.fit=stretch.")
        )
    if empty := int((boxes.counts == 0).sum()):
        text = f"{counted(empty, 'image')} without boxes, used as images without objects"
        notices.append(Notice("images_without_boxes", empty, text, warns=False))
    return notices
