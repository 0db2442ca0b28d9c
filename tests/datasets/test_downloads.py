"""Downloaded datasets: reading their files, and errors about missing files."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

from dlcli.datasets import cifar, mnist
from dlcli.errors import DataError


def write_cifar(root: Path, dataset: type[CIFAR10], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a few random rows in the dataset's format, with their checksums in place of the original ones."""
    folder = root / dataset.base_folder
    folder.mkdir(parents=True)
    label = "labels" if dataset is CIFAR10 else "fine_labels"
    random = np.random.default_rng(0)

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for part in ("train_list", "test_list"):
        files = []
        for name, _ in getattr(dataset, part):
            rows = random.integers(0, 256, (2, 3072), dtype=np.uint8)
            files.append([name, write(name, {"data": rows, label: [0, 1]})])
        monkeypatch.setattr(dataset, part, files)
    meta = dict(dataset.meta)
    meta["md5"] = write(meta["filename"], {meta["key"]: ["apple", "bear"]})
    monkeypatch.setattr(dataset, "meta", meta)


@pytest.mark.parametrize(
    ("load", "dataset"), [(cifar.load_cifar10, CIFAR10), (cifar.load_cifar100, CIFAR100)]
)
def test_cifar_is_read_as_torchvision_reads_it(
    load, dataset: type[CIFAR10], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, dataset, monkeypatch)
    data = load(str(tmp_path))
    rows = 2 * len(dataset.train_list)
    assert data.x.shape == (rows + 2, 32, 32, 3)
    assert data.x.dtype == np.uint8
    assert data.y.tolist() == [0, 1] * (rows // 2 + 1)
    assert data.classes == ("apple", "bear")
    assert data.test_rows.tolist() == [rows, rows + 1]


@pytest.mark.parametrize(
    ("load", "dataset", "pattern"),
    [
        (
            mnist.load_mnist,
            MNIST,
            "Put train-images-idx3-ubyte.gz, .* there .* contains MNIST/raw: dataset.root=DIR",
        ),
        (
            mnist.load_fashion_mnist,
            FashionMNIST,
            "t10k-labels-idx1-ubyte.gz there .* contains FashionMNIST/raw",
        ),
        (cifar.load_cifar10, CIFAR10, "Put cifar-10-python.tar.gz there .* contains cifar-10-batches-py"),
        (cifar.load_cifar100, CIFAR100, "Put cifar-100-python.tar.gz there .* contains cifar-100-python"),
    ],
)
def test_without_a_network_the_files_and_their_folder_are_reported(
    load, dataset, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(self: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(dataset, "download", unreachable)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path))
    (problem,) = caught.value.problems
    assert problem.message == f"{dataset.__name__} is missing and could not be downloaded (no route to host)"
    assert problem.where.startswith(str(tmp_path))
    assert re.search(pattern, problem.hint)


def test_a_damaged_cifar_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    (tmp_path / CIFAR10.base_folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr(CIFAR10, "download", lambda self: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(DataError, match="could not be downloaded"):
        cifar.load_cifar10(str(tmp_path))
