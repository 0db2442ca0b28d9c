"""MNIST through torchvision: read where the files are there, downloaded where they are not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST

from dlcli.datasets.data import Data
from dlcli.errors import DataError

_FILES = tuple(
    f"{part}-{content}"
    for part in ("train", "t10k")
    for content in ("images-idx3-ubyte", "labels-idx1-ubyte")
)


def load(root: str = "data") -> Data:
    """60,000 training and 10,000 test images `(70000, 28, 28)` as bytes, from `root/MNIST/raw`."""
    raw = Path(root).expanduser() / "MNIST" / "raw"
    if not all(_present(raw / name) for name in _FILES):
        _download(raw)
    images, labels = [], []
    for part in ("train", "t10k"):
        images.append(_read(raw / f"{part}-images-idx3-ubyte"))
        labels.append(_read(raw / f"{part}-labels-idx1-ubyte"))
        if len(images[-1]) != len(labels[-1]):
            raise DataError(
                f"{len(images[-1])} images but {len(labels[-1])} labels",
                where=str(raw / f"{part}-*"),
                hint="The files do not belong together: fetch all four anew.",
            )
    return Data(
        name="mnist",
        kind="image",
        x=np.concatenate(images),
        y=np.concatenate(labels).astype(np.int64),
        classes=tuple("0123456789"),
        source=str(raw),
        test_rows=np.arange(len(images[0]), len(images[0]) + len(images[1])),
    )


def _present(file: Path) -> bool:
    return file.exists() or file.with_name(f"{file.name}.gz").exists()


def _read(file: Path) -> np.ndarray:
    """One file of the set, unpacked or packed; a packed one is read in place, not unpacked beside the original."""
    there = file if file.exists() else file.with_name(f"{file.name}.gz")
    try:
        content = there.read_bytes()
        return _parse(content if there == file else gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"not a readable MNIST file ({error})",
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


def _download(raw: Path) -> None:
    """Fetch what is missing through torchvision, which tries its mirrors and shows a progress bar."""
    root = raw.parent.parent
    try:
        MNIST(str(root), download=True)
    except (OSError, RuntimeError) as error:
        missing = [f"{name}.gz" for name in _FILES if not _present(raw / name)]
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"MNIST is not there and could not be downloaded ({reason})",
            where=str(raw),
            hint=f"Put {', '.join(missing)} there (from any copy of MNIST), or give the folder that holds MNIST/raw "
            "with dataset.root=DIR.",
        ) from error
