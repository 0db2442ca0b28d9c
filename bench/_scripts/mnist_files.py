"""MNIST's training and test rows: images `(N, 28, 28)` float32 from 0 to 1, and labels `(N,)` int64."""

import gzip
from pathlib import Path

import numpy as np


def read(folder):
    def content(name, header):
        packed, plain = Path(folder, "MNIST", "raw", f"{name}.gz"), Path(folder, "MNIST", "raw", name)
        data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        return np.frombuffer(data, np.uint8, offset=header)

    return [
        (
            content(f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28).astype(np.float32) / 255,
            content(f"{part}-labels-idx1-ubyte", 8).astype(np.int64),
        )
        for part in ("train", "t10k")
    ]
