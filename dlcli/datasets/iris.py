"""Iris flowers: 150 rows, 4 measurements, 3 species (Fisher, 1936), shipped with scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_iris

from dlcli.datasets.data import Data


def load() -> Data:
    """A table of 150 rows with the four measurements in cm."""
    iris = load_iris(as_frame=True)
    return Data(
        name="iris",
        kind="table",
        x=iris.data,
        y=iris.target.to_numpy(dtype=np.int64),
        classes=tuple(str(name) for name in iris.target_names),
        source="sklearn.datasets.load_iris",
    )
