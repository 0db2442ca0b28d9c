from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest

from dlcli.datasets import mnist
from dlcli.datasets.bundled import digits, iris, wine
from dlcli.datasets.data import Data
from dlcli.errors import DataError
from tests.conftest import write_idx, write_mnist


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small MNIST with 20 training and 10 test images; two of the files are compressed."""
    write_mnist(tmp_path, train=20, test=10)
    return tmp_path


@pytest.mark.parametrize(("load", "rows", "classes"), [(digits, 1797, 10), (iris, 150, 3), (wine, 178, 3)])
def test_shipped_data_has_all_rows_and_classes(load, rows: int, classes: int) -> None:
    data = load()
    assert len(data) == len(data.x) == rows
    assert data.y.dtype == np.int64
    assert sorted(set(data.y)) == list(range(classes)) == list(range(len(data.classes)))


def test_mnist_compressed_and_uncompressed(root: Path) -> None:
    data = mnist.load_mnist(str(root))
    assert data.x.shape == (30, 28, 28)
    assert data.x.dtype == np.uint8
    assert data.test_rows.tolist() == list(range(20, 30))
    assert data.y[20:].tolist() == list(range(10))


def test_fashion_mnist_has_the_format_of_mnist(root: Path) -> None:
    (root / "MNIST").rename(root / "FashionMNIST")
    data = mnist.load_fashion_mnist(str(root))
    assert data.x.shape == (30, 28, 28)
    assert data.classes[0] == "T-shirt/top"


def test_the_real_mnist_has_the_published_counts(shared_data: Path) -> None:
    data = mnist.load_mnist(str(shared_data))
    assert data.x.shape == (70000, 28, 28)
    assert np.bincount(data.y[:60000]).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"no header at all", gzip.compress(b"\x00\x00\x08\x01" + b"\x00" * 3, mtime=0)],
    ids=["empty", "no header", "cut short"],  # a compressed file contains its creation time
)
def test_a_damaged_file_is_reported(root: Path, content: bytes) -> None:
    file = root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(content)
    with pytest.raises(DataError, match="not a readable MNIST file") as caught:
        mnist.load_mnist(str(root))
    assert caught.value.problems[0].where == str(file)


def test_files_that_do_not_match_are_rejected(root: Path) -> None:
    write_idx(root / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(3))
    with pytest.raises(DataError, match="20 images but 3 labels"):
        mnist.load_mnist(str(root))


def test_the_fingerprint_depends_on_the_values() -> None:
    data: Data = iris()
    assert data.fingerprint == iris().fingerprint
    changed = data.x.copy()
    changed.iloc[7, 2] += 1e-9
    assert dataclasses.replace(data, x=changed).fingerprint != data.fingerprint
    assert dataclasses.replace(data, y=data.y[::-1]).fingerprint != data.fingerprint
    assert dataclasses.replace(data, classes=("a", "b", "c")).fingerprint != data.fingerprint
    assert dataclasses.replace(data, name="other").fingerprint == data.fingerprint
