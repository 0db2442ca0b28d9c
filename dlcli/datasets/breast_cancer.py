"""Breast cancer: 569 tumours, 30 measurements, benign or malignant (Wolberg, 1995), shipped with scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from dlcli.datasets.data import Data


def load() -> Data:
    """A table of 569 rows, 212 of them malignant, which is the second class: the one to be found."""
    cancer = load_breast_cancer(as_frame=True)
    return Data(
        name="breast_cancer",
        kind="table",
        x=cancer.data,
        # scikit-learn counts malignant as 0, and recall would then be that of the benign.
        y=1 - cancer.target.to_numpy(dtype=np.int64),
        classes=("benign", "malignant"),
        source="sklearn.datasets.load_breast_cancer",
    )
