"""Average precision of detections, as COCO computes it (Lin et al., 2014)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlcli.tasks.box_matching import OVERLAPS
from dlcli.tasks.metric import Metric, counted_over

Precision = Literal["map", "map_50", "map_75"]

# Positions in `OVERLAPS`.
_AT = {"map": tuple(range(len(OVERLAPS))), "map_50": (0,), "map_75": (5,)}
# Rounded as in torchmetrics, which matters if a recall is exactly one of them.
_RECALLS = np.array(torch.linspace(0, 1, 101).tolist())


class MeanAveragePrecision(Metric):
    """Mean over classes of the area under the curve of precision over recall.

    Args:
        kind: `map`, the mean over the IoU thresholds 0.5, 0.55, ..., 0.95 of a correct detection; `map_50` and
            `map_75`, the value at one of them.
        num_classes: number of classes; classes without boxes are left out.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    shares = "detections"
    detections: list[Tensor]
    counts: list[Tensor]

    def __init__(self, kind: Precision, num_classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.num_classes = num_classes
        self.add_rows("detections", "counts")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows: `predicted` `(N, D, 4)` of `matched_boxes`, and y the number of boxes of each class `(N, C)`."""
        flat = predicted.flatten(0, 1)
        self.detections.append(flat[flat[:, 1] >= 0])
        self.counts.append(y.sum(dim=0, keepdim=True).double())

    def compute(self) -> Tensor:
        """Return the value; NaN if there are no boxes."""
        found = torch.cat(self.detections).cpu().numpy()
        counts = torch.cat(self.counts).sum(dim=0).cpu().numpy()
        values = box_precision(found, counts, _AT[self.kind])
        known = values[counts > 0]
        return torch.tensor(known.mean() if known.size else np.nan, dtype=torch.float64)

    def over(self) -> tuple[int, int]:
        """Return the number of classes with boxes, and that of all."""
        return counted_over(torch.cat(self.counts).sum(dim=0) > 0)


def box_precision(found: np.ndarray, counts: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """Return the average precision of each class at some overlaps, `(C, A)`; 0 for classes without detections.

    Args:
        found: score, label and bit masks of `matched_boxes` of all detections, `(M, 4)`.
        counts: number of boxes of each class `(C,)`.
        at: positions in `OVERLAPS`.
    """
    values = np.zeros((len(counts), len(at)))
    found = found[np.argsort(-found[:, 0], kind="stable")]
    labels, hits, ignored = found[:, 1], found[:, 2].astype(np.int64), found[:, 3].astype(np.int64)
    for code in np.flatnonzero(counts > 0):
        own = labels == code
        for column, place in enumerate(at):
            precision, recall = curve(hits[own], ignored[own], counts[code], place)
            values[code, column] = _sampled(precision, recall).mean()
    return values


def curve(hits: np.ndarray, ignored: np.ndarray, boxes: float, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall after each detection of a class that is not ignored, by descending score,
    `(M,)` each."""
    counted = (ignored >> at & 1) == 0
    right = (hits[counted] >> at & 1).cumsum()
    return right / np.arange(1, len(right) + 1), right / boxes


def _sampled(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Return the precision at 101 recalls: the highest precision at that recall or above, 0 beyond the last one."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return np.append(best, 0.0)[places]


def best_score(found: np.ndarray, counts: np.ndarray) -> float | None:
    """Return the score threshold that maximizes the mean F1 score over classes, at an overlap of 0.5.

    Return None if no detection is correct, since all thresholds would be equal.

    Args:
        found: score, label and bit masks of `matched_boxes` of all detections, `(M, 4)`.
        counts: number of boxes of each class `(C,)`.
    """
    tried = np.round(np.arange(0.02, 0.99, 0.01), 2)
    means = np.zeros(len(tried))
    for code in np.flatnonzero(counts > 0):
        own = found[(found[:, 1] == code) & (found[:, 3].astype(np.int64) & 1 == 0)]
        scores = np.sort(own[:, 0])
        right = np.sort(own[own[:, 2].astype(np.int64) & 1 == 1, 0])
        shown = len(scores) - np.searchsorted(scores, tried)
        hits = len(right) - np.searchsorted(right, tried)
        means += 2 * hits / (shown + counts[code])
    return float(tried[np.argmax(means)]) if means.any() else None
