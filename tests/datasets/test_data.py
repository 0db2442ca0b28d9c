from __future__ import annotations

import numpy as np

from dlcli.datasets import breast_cancer, diabetes, digits, iris
from dlcli.datasets.data import Data
from dlcli.splits.holdout import Holdout


def test_scikit_learns_datasets() -> None:
    found = {
        data.name: (data.target_kind, len(data))
        for data in map(load, (breast_cancer, diabetes, digits, iris))
    }
    assert found == {
        "breast_cancer": ("binary", 569),
        "diabetes": ("regression", 442),
        "digits": ("multiclass", 1797),
        "iris": ("multiclass", 150),
    }


def load(module) -> Data:
    return module.load()


def test_malignant_is_the_class_to_be_found() -> None:
    data = breast_cancer.load()
    assert data.classes[1] == "malignant"
    assert data.y.sum() == 212


def test_numbers_and_labels_are_split_without_strata() -> None:
    for y, names in (
        (np.linspace(0, 1, 40), {"targets": ("t",)}),
        (np.ones((40, 2), dtype=np.int64), {"classes": ("a", "b")}),
    ):
        (split,) = Holdout().splits(Data("some", "table", np.zeros((40, 1)), y, **names))
        assert split.sizes == {"train": 27, "val": 5, "test": 8}


def test_the_targets_names_are_part_of_the_fingerprint() -> None:
    y = np.zeros(3)
    one, other = (Data("some", "sequence", np.zeros((3, 1)), y, targets=(name,)).fingerprint for name in "uv")
    assert one != other
