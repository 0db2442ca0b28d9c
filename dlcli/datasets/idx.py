"""MNIST and the sets in its format: read where the files are there, downloaded by torchvision where they are not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST

from dlcli.datasets.data import Data
from dlcli.datasets.downloads import download
from dlcli.errors import DataError
from dlcli.files.paths import typed

_FILES = tuple(
    f"{part}-{content}"
    for part in ("train", "t10k")
    for content in ("images-idx3-ubyte", "labels-idx1-ubyte")
)


def load_idx(dataset: type[MNIST], root: str, name: str, classes: tuple[str, ...]) -> Data:
    """Training, then test images `(N, H, W)` as bytes, from `root/CLASS/raw`.

    Args:
        dataset: torchvision's class.
        root: the folder above.
        name: of the dataset, in dlcli.
        classes: names of the classes, in the order of their codes.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    called = dataset.__name__
    raw = typed(root) / called / "raw"
    missing = [file for file in _FILES if not _present(raw / file)]
    if missing:
        download(
            lambda: dataset(str(raw.parent.parent), download=True),
            called,
            raw,
            [f"{file}.gz" for file in missing],
            f"{called}/raw",
        )
    images, labels = [], []
    for part in ("train", "t10k"):
        images.append(_read(raw / f"{part}-images-idx3-ubyte", called))
        labels.append(_read(raw / f"{part}-labels-idx1-ubyte", called))
        if len(images[-1]) != len(labels[-1]):
            raise DataError(
                f"{len(images[-1])} images but {len(labels[-1])} labels",
                where=str(raw / f"{part}-*"),
                hint="The files do not belong together: fetch all four anew.",
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
    """One file of the set, unpacked or packed; a packed one is read in place, not unpacked beside the original."""
    there = file if file.exists() else file.with_name(f"{file.name}.gz")
    try:
        content = there.read_bytes()
        return _parse(content if there == file else gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"not a readable {dataset} file ({error})",
            where=str(there),
            hint="Remove it and run again to download it, or put a whole copy there.",
        ) from error


def _parse(content: bytes) -> np.ndarray:
    """The IDX format: two zero bytes, type (8: unsigned byte), number of dimensions, sizes (big-endian), values."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError("no IDX header of unsigned bytes")
    dimensions = content[3]
    sizes = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(sizes)
