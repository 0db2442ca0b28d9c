"""MNIST: handwritten digits (LeCun and Cortes)."""

from __future__ import annotations

from torchvision.datasets import MNIST

from dlcli.datasets.data import Data
from dlcli.datasets.idx import load_idx


def load(root: str = "data") -> Data:
    """Load 60,000 training and 10,000 test images `(70000, 28, 28)` as bytes from `root/MNIST/raw`."""
    return load_idx(MNIST, root, "mnist", tuple("0123456789"))
