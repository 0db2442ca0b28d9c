"""MNIST and Fashion-MNIST; torchvision downloads missing files."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST, FashionMNIST

from dlcli.datasets.data import Data
from dlcli.datasets.downloads import download
from dlcli.errors import DataError
from dlcli.files.paths import typed

_FILES = tuple(
    f"{part}-{content}"
    for part in ("train", "t10k")
    for content in ("images-idx3-ubyte", "labels-idx1-ubyte")
)


def load_mnist(root: str = "data") -> Data:
    """Load MNIST, handwritten digits (LeCun and Cortes), from `root/MNIST/raw`.

    There are 60,000 training and 10,000 test images `(70000, 28, 28)`, as bytes.
    """
    return load_idx(MNIST, root, "mnist", tuple("0123456789"))


def load_fashion_mnist(root: str = "data") -> Data:
    """Load Fashion-MNIST, articles of clothing (Xiao, Rasul and Vollgraf, 2017), from `root/FashionMNIST/raw`.

    There are 60,000 training and 10,000 test images `(70000, 28, 28)`, as bytes.
    """
    return load_idx(FashionMNIST, root, "fashion_mnist", tuple(FashionMNIST.classes))


def load_idx(dataset: type[MNIST], root: str, name: str, classes: tuple[str, ...]) -> Data:
    """Load training and test images `(N, H, W)` as bytes from `root/CLASS/raw`.

    Args:
        dataset: torchvision's dataset class.
        root: the parent folder.
        name: dlcli's name of the dataset.
        classes: names of the classes, in the order of their codes.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    folder_name = dataset.__name__
    raw = typed(root) / folder_name / "raw"
    missing = [file for file in _FILES if not _present(raw / file)]
    if missing:
        download(
            lambda: dataset(str(raw.parent.parent), download=True),
            folder_name,
            raw,
            [f"{file}.gz" for file in missing],
            f"{folder_name}/raw",
        )
    images, labels = [], []
    for part in ("train", "t10k"):
        images.append(_read(raw / f"{part}-images-idx3-ubyte", folder_name))
        labels.append(_read(raw / f"{part}-labels-idx1-ubyte", folder_name))
        if len(images[-1]) != len(labels[-1]):
            raise DataError(
                f"{len(images[-1])} images but {len(labels[-1])} labels",
                where=str(raw / f"{part}-*"),
                hint="The files do not belong together: download all four again.",
            )
    return Data(
        name=name,
        kind="image",
        x=np.concatenate(images),
        y=np.concatenate(labels).astype(np.int64),
        classes=classes,
        source=str(raw),
        test_rows=np.arange(len(images[0]), len(images[0]) + len(images[1])),
    )


def _present(file: Path) -> bool:
    return file.exists() or file.with_name(f"{file.name}.gz").exists()


def _read(file: Path, dataset: str) -> np.ndarray:
    """Return the content of one file; a compressed file is read in memory, without unpacking it on disk."""
    path = file if file.exists() else file.with_name(f"{file.name}.gz")
    try:
        content = path.read_bytes()
        return _parse(content if path == file else gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"not a readable {dataset} file ({error})",
            where=str(path),
            hint="Remove it and run again to download it, or put an intact copy there.",
        ) from error


def _parse(content: bytes) -> np.ndarray:
    """Parse the IDX format: two zero bytes, type (8: unsigned byte), dimensions, sizes (big-endian), values."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError("the IDX header of unsigned bytes is missing")
    dimensions = content[3]
    sizes = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(sizes)
