"""mydata: a dataset of our own."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine

from dlcli.datasets.data import Data


def load() -> Data:
    """178 wines, 13 measurements, 3 growers. Put your own data in its place, such as `pandas.read_csv(path)`.

    Arguments of this function are keys of the YAML.
    """
    wine = load_wine(as_frame=True)
    return Data(
        name="mydata",
        kind="table",  # or image, with x as bytes (N, H, W) or (N, H, W, C); or sequence, with x (N, T, F)
        x=wine.data,
        y=wine.target.to_numpy(dtype=np.int64),  # codes: positions in classes
        classes=tuple(str(name) for name in wine.target_names),
        source="sklearn.datasets.load_wine",
    )
