"""`Boxes`: bounding boxes of each image, as targets of `Data`, and typical boxes as a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.target_rows import TargetRows

# Columns of a padded box: left, top, right, bottom, the code of its class, and whether it is a crowd.
LEFT, TOP, RIGHT, BOTTOM, CODE, CROWD = range(6)
COLUMNS = 6

# Code of padding: an entry of a padded array without a box.
PADDING = -1

# Boxes that clusters are found in, and the most clusters of all classes.
_BOXES, _MOST = 10_000, 100


class Boxes(TargetRows):
    """Array-like of boxes: any number per image, each with a class.

    Coordinates are shares of the image's width and height, from 0 to 1, and therefore independent of its size.
    Indexing returns other `Boxes`; numpy's `asarray` pads them to `(N, most boxes of an image, 6)`.

    Args:
        corners: left, top, right and bottom of all boxes, image by image, `(M, 4)`.
        codes: class of each box, as positions in the classes of `Data`, `(M,)`.
        crowds: whether a box is a crowd, which the loss and the metrics ignore, `(M,)`.
        counts: number of boxes of each image, `(N,)`.
        sizes: height and width of each image in pixels, the unit of tables of boxes, `(N, 2)`.
    """

    target_kind: ClassVar[TargetKind] = "detection"
    unmixable: ClassVar = "the boxes of two images"
    ndim: ClassVar = 3

    def __init__(
        self,
        corners: np.ndarray,
        codes: np.ndarray,
        crowds: np.ndarray,
        counts: np.ndarray,
        sizes: np.ndarray,
    ) -> None:
        self.corners = np.asarray(corners, np.float32).reshape(-1, 4)
        self.codes = np.asarray(codes, np.int64)
        self.crowds = np.asarray(crowds, np.bool_)
        self.counts = np.asarray(counts, np.int64)
        self.sizes = np.asarray(sizes, np.int64).reshape(-1, 2)
        self._ends = np.cumsum(self.counts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the padded boxes."""
        return np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, most boxes of an image, 6)`."""
        return len(self), int(self.counts.max(initial=0)), COLUMNS

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Boxes:
        picked = np.arange(len(self))[rows]
        starts = self._ends - self.counts
        places = [np.arange(starts[row], self._ends[row]) for row in picked]
        found = np.concatenate(places) if places else np.empty(0, np.int64)
        return Boxes(
            self.corners[found],
            self.codes[found],
            self.crowds[found],
            self.counts[picked],
            self.sizes[picked],
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        padded = np.full(self.shape, PADDING, np.float32)
        rows = np.repeat(np.arange(len(self)), self.counts)
        places = np.arange(len(self.codes)) - np.repeat(self._ends - self.counts, self.counts)
        padded[rows, places, :CODE] = self.corners
        padded[rows, places, CODE] = self.codes
        padded[rows, places, CROWD] = self.crowds
        return padded

    def recoded(self, codes: np.ndarray) -> Boxes:
        """Return the same boxes with new class codes: `codes` `(C,)` maps each old code to a new one."""
        return Boxes(self.corners, codes[self.codes], self.crowds, self.counts, self.sizes)

    def per_class(self, classes: int) -> np.ndarray:
        """Return the number of boxes of each class in each image, without crowds, `(N, C)`."""
        rows = np.repeat(np.arange(len(self)), self.counts)
        counts = np.zeros((len(self), classes), np.int64)
        np.add.at(counts, (rows[~self.crowds], self.codes[~self.crowds]), 1)
        return counts

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the names of the classes, the number of training boxes of each `(C,)`, and typical boxes."""
        mine = self[train]
        counted = ~mine.crowds
        return {
            "classes": list(names),
            "class_counts": mine.per_class(len(names)).sum(axis=0).tolist(),
            "typical_boxes": typical_boxes(mine.corners[counted], mine.codes[counted], len(mine), len(names)),
        }

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of images with a box of each class, which is no crowd `(C,)`."""
        return (self.per_class(classes) > 0).sum(axis=0)

    def pieces(self) -> Iterator[Any]:
        """Yield the values that the fingerprint is computed from."""
        yield from (self.corners, self.codes, self.crowds, self.counts)


def typical_boxes(corners: np.ndarray, codes: np.ndarray, images: int, classes: int) -> list[list[float]]:
    """Return boxes `[left, top, right, bottom, score, class]`, the same for every image.

    Each class has as many boxes as images have on average, and at least one: the centres of clusters of its boxes
    (k-means on corners). The score is the cluster's share of the boxes of the class.

    Args:
        corners: boxes of the training rows `(M, 4)`.
        codes: their classes `(M,)`.
        images: number of the rows.
        classes: number of classes.
    """
    from sklearn.cluster import KMeans  # only boxes need it

    found: list[list[float]] = []
    for code in range(classes):
        own = corners[codes == code].astype(np.float64)
        if not len(own):
            continue
        own = own[np.linspace(0, len(own) - 1, min(len(own), _BOXES)).astype(np.int64)]
        number = min(
            max(1, round(len(own) / max(1, images))), _MOST // classes or 1, len(np.unique(own, axis=0))
        )
        means = KMeans(number, n_init=1, random_state=0).fit(own)
        shares = np.bincount(means.labels_, minlength=number) / len(own)
        found += [
            [*corners, share, float(code)]
            for corners, share in zip(means.cluster_centers_.tolist(), shares.tolist(), strict=True)
        ]
    return sorted(found, key=lambda box: -box[4])[:_MOST]
