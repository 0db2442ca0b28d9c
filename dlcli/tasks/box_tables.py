"""Boxes and their matches in the cells of a table, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from dlcli.tasks.box_matching import LABEL, SCORE


def boxes_text(
    boxes: np.ndarray, size: np.ndarray, classes: Sequence[str], *, has_scores: bool = True
) -> str:
    """Return boxes as JSON, each `[left, top, right, bottom, score, class]`, or without the score.

    Args:
        boxes: detections `(M, 6)`, or without scores padded boxes.
        size: height and width that their shares are of; 1 leaves shares.
        classes: names of the classes.
        has_scores: whether the boxes are detections.
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
