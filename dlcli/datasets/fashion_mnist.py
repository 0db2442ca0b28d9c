"""Fashion-MNIST: articles of clothing, in MNIST's format (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

from torchvision.datasets import FashionMNIST

from dlcli.datasets.data import Data
from dlcli.datasets.idx import load_idx


def load(root: str = "data") -> Data:
    """Load 60,000 training and 10,000 test images `(70000, 28, 28)` as bytes from `root/FashionMNIST/raw`."""
    return load_idx(FashionMNIST, root, "fashion_mnist", tuple(FashionMNIST.classes))
