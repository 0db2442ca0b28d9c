"""Diabetes: 442 patients, 10 measurements, progression a year later (Efron et al., 2004), shipped with scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes

from dlcli.datasets.data import Data


def load() -> Data:
    """A table of 442 rows with ten measurements in their own units; the target runs from 25 to 346."""
    diabetes = load_diabetes(as_frame=True, scaled=False)
    return Data(
        name="diabetes",
        kind="table",
        x=diabetes.data,
        y=diabetes.target.to_numpy(dtype=np.float64),
        targets=("progression",),
        source="sklearn.datasets.load_diabetes",
    )
