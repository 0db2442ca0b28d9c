from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcli.datasets.bundled import breast_cancer, diabetes, digits, iris
from dlcli.datasets.data import Data
from dlcli.datasets.raw_rows import load_current, load_data, with_positive
from dlcli.errors import DataError
from dlcli.splits.holdout import Holdout


def test_scikit_learns_datasets() -> None:
    found = {
        data.name: (data.target_kind, len(data)) for data in (breast_cancer(), diabetes(), digits(), iris())
    }
    assert found == {
        "breast_cancer": ("binary", 569),
        "diabetes": ("regression", 442),
        "digits": ("multiclass", 1797),
        "iris": ("multiclass", 150),
    }


def test_malignant_is_the_positive_class() -> None:
    data = breast_cancer()
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


def test_the_positive_class_can_be_set() -> None:
    data = breast_cancer()
    turned = with_positive(data, "benign")
    assert turned.classes == ("malignant", "benign")
    assert np.array_equal(turned.y, 1 - data.y)
    assert turned.fingerprint != data.fingerprint
    assert with_positive(data, "malignant") is data
    numbered = Data("some", "table", np.zeros((2, 1)), np.array([0, 1]), classes=("0", "1"))
    assert with_positive(numbered, 0).classes == ("1", "0")


def test_an_unknown_class_is_reported_with_a_similar_name() -> None:
    with pytest.raises(DataError, match="there is no class malignent in breast_cancer") as caught:
        with_positive(breast_cancer(), "malignent")
    assert "malignant" in caught.value.problems[0].hint
    with pytest.raises(DataError, match="the target of iris is multiclass"):
        with_positive(iris(), "setosa")


def test_a_command_reads_a_changed_file_again() -> None:
    file = Path("t.csv")
    file.write_text("a,y\n1,u\n2,v\n")
    section = {"_target_": "dlcli.datasets.table.load", "path": str(file), "target": "y", "batch_size": 2}
    first = load_current(section)
    assert load_current({**section, "batch_size": 1}) is first
    file.write_text("a,y\n1,u\n2,v\n3,u\n")
    assert load_data(section) is first  # the running command keeps the rows that it has read
    assert len(load_current(section)) == 3
    texts = {"_target_": "dlcli.datasets.language.load", "path": "story", "block": 2}
    Path("story").mkdir()
    for size in (3, 4):  # the time of the folder does not change
        Path("story/a.txt").write_text("ab" * size)
        assert len(load_current(texts)) == size
