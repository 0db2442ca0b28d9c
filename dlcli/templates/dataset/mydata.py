"""mydata: a custom dataset."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine

from dlcli.datasets.data import Data


def load() -> Data:
    """Return 178 wines with 13 measurements, of 3 growers. Replace them with your data, read by `pandas.read_csv`.

    The arguments of this function are the keys of the YAML file.
    """
    wine = load_wine(as_frame=True)
    return Data(
        name="mydata",
        kind="table",  # or image, with x as bytes (N, H, W) or (N, H, W, C); or sequence, with x (N, T, F)
        x=wine.data,
        y=wine.target.to_numpy(dtype=np.int64),  # indices of classes
        classes=tuple(str(name) for name in wine.target_names),
        source="sklearn.datasets.load_wine",
    )
