"""Handwritten digits: 1,797 scans of 8 x 8 pixels that ship with scikit-learn (UCI, Alpaydin and Kaynak, 1998)."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from dlcli.datasets.data import Data


def load() -> Data:
    """Images `(1797, 8, 8)` as bytes: the 17 grey levels 0 to 16 spread over 0 to 255."""
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return Data(
        name="digits",
        kind="image",
        x=images,
        y=digits.target.astype(np.int64),
        classes=tuple(str(name) for name in digits.target_names),
        source="sklearn.datasets.load_digits",
    )
