"""CIFAR-10 and CIFAR-100: small colour photographs (Krizhevsky, 2009), read by torchvision."""

from __future__ import annotations

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from dlcli.datasets.data import Data
from dlcli.datasets.downloads import download
from dlcli.files.paths import typed


def load_cifar10(root: str = "data") -> Data:
    """Load 50,000 training and 10,000 test photographs `(60000, 32, 32, 3)` of 10 classes."""
    return _load(CIFAR10, root, "cifar10")


def load_cifar100(root: str = "data") -> Data:
    """Load 50,000 training and 10,000 test photographs `(60000, 32, 32, 3)` of 100 classes."""
    return _load(CIFAR100, root, "cifar100")


def _load(dataset: type[CIFAR10], root: str, name: str) -> Data:
    # The files are pickles; torchvision opens only files whose checksums match the originals.
    parent = typed(root)
    folder = parent / dataset.base_folder
    try:
        train, test = (dataset(str(parent), train=part) for part in (True, False))
    except RuntimeError:  # a file is missing or has another checksum
        download(
            lambda: dataset(str(parent), download=True),
            dataset.__name__,
            parent,
            [dataset.filename],
            dataset.base_folder,
        )
        train, test = (dataset(str(parent), train=part) for part in (True, False))
    return Data(
        name=name,
        kind="image",
        x=np.concatenate([train.data, test.data]),
        y=np.array([*train.targets, *test.targets], dtype=np.int64),
        classes=tuple(train.classes),
        source=str(folder),
        test_rows=np.arange(len(train), len(train) + len(test)),
    )
