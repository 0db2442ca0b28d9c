"""Small datasets that ship with scikit-learn: iris, wine, breast cancer, diabetes and digits."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.utils import Bunch

from dlcli.datasets.data import Data


def breast_cancer() -> Data:
    """Load breast cancer (Wolberg, 1995): 569 tumours, 30 measurements; the positive class is malignant, 212 rows."""
    cancer = load_breast_cancer(as_frame=True)
    return Data(
        name="breast_cancer",
        kind="table",
        x=cancer.data,
        # scikit-learn codes malignant as 0, which would make benign the positive class.
        y=1 - cancer.target.to_numpy(dtype=np.int64),
        classes=("benign", "malignant"),
        source="sklearn.datasets.load_breast_cancer",
    )


def digits() -> Data:
    """Load handwritten digits (UCI, Alpaydin and Kaynak, 1998).

    Images are bytes `(1797, 8, 8)`; the 17 grey levels 0 to 16 are scaled to 0 to 255.
    """
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


def diabetes() -> Data:
    """Load diabetes progression after one year, 25 to 346: 442 patients, ten measurements (Efron et al., 2004)."""
    diabetes = load_diabetes(as_frame=True, scaled=False)
    return Data(
        name="diabetes",
        kind="table",
        x=diabetes.data,
        y=diabetes.target.to_numpy(dtype=np.float64),
        targets=("progression",),
        source="sklearn.datasets.load_diabetes",
    )


def wine() -> Data:
    """Load wines of 3 cultivars: 178 rows, 13 measurements (UCI, Aeberhard and Forina, 1992)."""
    return _table_of_classes("wine", load_wine(as_frame=True))


def iris() -> Data:
    """Load iris flowers of 3 species: 150 rows, four measurements in cm (Fisher, 1936)."""
    return _table_of_classes("iris", load_iris(as_frame=True))


def _table_of_classes(name: str, bunch: Bunch) -> Data:
    return Data(
        name=name,
        kind="table",
        x=bunch.data,
        y=bunch.target.to_numpy(dtype=np.int64),
        classes=tuple(str(name) for name in bunch.target_names),
        source=f"sklearn.datasets.load_{name}",
    )
