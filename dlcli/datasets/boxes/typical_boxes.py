"""Typical boxes of images, as a baseline of detection."""

from __future__ import annotations

import numpy as np

# Boxes that clusters are found in, and the most clusters of all classes.
_BOXES, _MOST = 10_000, 100


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
