"""Writing detections: as COCO results, as a table with a line per box, as pictures, and as JSON in cells of a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from dlcli.datasets.images.image_decoder import read_header
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.files.disk import write_errors
from dlcli.tasks.box_matching import LABEL, SCORE
from dlcli.tasks.mask_files import OVERLAY, class_colours

RESULTS, TABLE = "detections.json", "boxes.csv"
_EMPTY = "[\n]\n"
_COLUMNS = ("image", "class", "score", "left", "top", "right", "bottom")


def placed_boxes(x: Any) -> np.ndarray:
    """Return the height and width in pixels to which boxes of some rows refer, `(N, 2)`.

    They are those of the image's file, or of the array; for a cropped image those of the visible part.
    """
    if not isinstance(x, ImageFiles) or x.decoder.fit == "crop":
        return np.tile(np.array(x.shape[1:3], np.int64), (len(x), 1))
    return np.array([read_header(entry).size for entry in x.entries], np.int64).reshape(-1, 2)


def write_boxes(
    folder: Path,
    names: Sequence[str],
    x: Any,
    detections: np.ndarray,
    classes: Sequence[str],
    threshold: float,
) -> pd.DataFrame:
    """Write `NAME_overlay.png` of each image, and add its boxes to `detections.json` and `boxes.csv`.

    The JSON has COCO's results: `image_id` (the image's name), `category_id` (from 1 on, in the order of the classes),
    `bbox` (left, top, width, height) and `score` of all detections; `file_name` and `category` are added. The table and
    the pictures contain detections with scores of at least the threshold.

    Args:
        folder: where to write.
        names: a name for each image.
        x: the images, bytes `(N, H, W)` or `(N, H, W, 3)`, or `ImageFiles`.
        detections: `(N, D, 6)`.
        classes: names of the classes.
        threshold: minimum score of a detection that is shown.

    Returns:
        The column `overlay`, with the pictures.
    """
    sizes = placed_boxes(x)
    images = np.asarray(x)
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        images = np.rint((images - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    results: list[dict[str, Any]] = []
    lines: list[list[Any]] = []
    found = []
    with write_errors(folder):
        folder.mkdir(exist_ok=True)
        for row, name in enumerate(names):
            height, width = (int(side) for side in sizes[row])
            own = detections[row][detections[row][:, LABEL] >= 0]
            corners = np.round(own[:, :4].astype(np.float64) * [width, height, width, height], 2)
            shown = []
            for box, (left, top, right, bottom) in zip(own, corners.tolist(), strict=True):
                code, score = int(box[LABEL]), round(float(box[SCORE]), 4)
                results.append(
                    {
                        "image_id": name,
                        "category_id": code + 1,
                        "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                        "score": score,
                        "category": classes[code],
                    }
                )
                if box[SCORE] >= threshold:
                    shown.append((code, score, (left, top, right, bottom)))
                    lines.append([name, classes[code], score, left, top, right, bottom])
            picture = Image.fromarray(images[row]).convert("RGB").resize((width, height))
            file = folder / f"{name}{OVERLAY}.png"
            drawn(picture, shown, classes).save(file)
            found.append({"overlay": str(file)})
        _append_json(folder / RESULTS, results)
        table = folder / TABLE
        is_new = not table.exists()
        with table.open("a", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerows([_COLUMNS, *lines] if is_new else lines)
    return pd.DataFrame(found)


def drawn(
    picture: Image.Image,
    boxes: Sequence[tuple[int, float, tuple[float, float, float, float]]],
    classes: Sequence[str],
) -> Image.Image:
    """Return a picture with boxes drawn on it; each box has a class, a score, and corners in pixels."""
    colours = class_colours(len(classes))
    draw = ImageDraw.Draw(picture)
    line = max(1, min(picture.size) // 200)
    for code, score, corners in boxes:
        colour = tuple(colours[code].tolist())
        draw.rectangle(corners, outline=colour, width=line)
        text = f"{classes[code]} {score:.2f}"
        place = (corners[0] + line, max(0.0, corners[1] - 11))
        draw.rectangle(draw.textbbox(place, text), fill=colour)
        draw.text(place, text, fill="white" if sum(colour) < 400 else "black")
    return picture


def _append_json(file: Path, results: Sequence[dict[str, Any]]) -> None:
    """Append entries to a JSON file that contains a list with one entry per line, without reading it."""
    text = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    is_first = not file.exists() or file.stat().st_size <= len(_EMPTY)
    if is_first:
        file.write_text(f"[\n{text}\n]\n" if text else _EMPTY, encoding="utf-8")
    elif text:
        with file.open("r+b") as opened:
            opened.seek(-len("\n]\n"), 2)
            opened.truncate()
            opened.write(f",\n{text}\n]\n".encode())


def boxes_text(
    boxes: np.ndarray, size: np.ndarray, classes: Sequence[str], *, has_scores: bool = True
) -> str:
    """Return boxes as JSON, each `[left, top, right, bottom, score, class]`, or without the score.

    Args:
        boxes: detections `(M, 6)`, or padded boxes, which have no scores.
        size: height and width by which shares are multiplied; 1 keeps shares.
        classes: names of the classes.
        has_scores: whether `boxes` are detections.
    """
    digits = 2 if max(size) > 1 else 5
    corners = np.round(boxes[:, :4].astype(np.float64) * [size[1], size[0], size[1], size[0]], digits)
    found: list[list[object]] = []
    for own, row in zip(boxes, corners.tolist(), strict=True):
        name = classes[int(own[LABEL if has_scores else 4])]
        found.append([*row, round(float(own[SCORE]), 4), name] if has_scores else [*row, name])
    return json.dumps(found, ensure_ascii=False)


def matches_text(matches: np.ndarray) -> str:
    """Return the matches of an image `(D, 4)` as JSON, without padding; scores keep their precision."""
    return json.dumps(
        [[float(str(row[0])), *map(int, row[1:])] for row in matches[matches[:, 1] >= 0].astype(np.float32)]
    )


def matches_of(texts: Sequence[str]) -> np.ndarray:
    """Return the matches that `matches_text` wrote, padded to `(N, D, 4)`."""
    rows = [np.array(json.loads(text), np.float64).reshape(-1, 4) for text in texts]
    found = np.full((len(rows), max(map(len, rows), default=0), 4), -1.0, np.float32)
    for row, own in enumerate(rows):
        found[row, : len(own)] = own
    return found
