"""Wine: 178 wines, 13 chemical measurements, 3 cultivars (UCI, Aeberhard and Forina, 1992), with scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine

from dlcli.datasets.data import Data


def load() -> Data:
    """A table of 178 rows with 13 measurements, in units of their own."""
    wine = load_wine(as_frame=True)
    return Data(
        name="wine",
        kind="table",
        x=wine.data,
        y=wine.target.to_numpy(dtype=np.int64),
        classes=tuple(str(name) for name in wine.target_names),
        source="sklearn.datasets.load_wine",
    )
