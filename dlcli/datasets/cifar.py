"""CIFAR-10 and CIFAR-100: small colour photographs (Krizhevsky, 2009), through torchvision."""

from __future__ import annotations

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from dlcli.datasets.data import Data
from dlcli.datasets.downloads import download
from dlcli.files.paths import typed


def load_cifar10(root: str = "data") -> Data:
    """50,000 training and 10,000 test photographs `(60000, 32, 32, 3)` of 10 classes."""
    return _load(CIFAR10, root, "cifar10")


def load_cifar100(root: str = "data") -> Data:
    """50,000 training and 10,000 test photographs `(60000, 32, 32, 3)` of 100 classes."""
    return _load(CIFAR100, root, "cifar100")


def _load(dataset: type[CIFAR10], root: str, name: str) -> Data:
    # The files are pickles; torchvision opens only those whose checksums are the original's.
    above = typed(root)
    folder = above / dataset.base_folder
    try:
        train, test = (dataset(str(above), train=part) for part in (True, False))
    except RuntimeError:  # missing, or with another checksum
        download(
            lambda: dataset(str(above), download=True),
            dataset.__name__,
            above,
            [dataset.filename],
            dataset.base_folder,
        )
        train, test = (dataset(str(above), train=part) for part in (True, False))
    return Data(
        name=name,
        kind="image",
        x=np.concatenate([train.data, test.data]),
        y=np.array([*train.targets, *test.targets], dtype=np.int64),
        classes=tuple(train.classes),
        source=str(folder),
        test_rows=np.arange(len(train), len(train) + len(test)),
    )
