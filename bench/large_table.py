"""A table of 2 million rows: peak memory of a training beside the rows' size, an epoch's reading beside a DataLoader's.

The opponent is common code: a Dataset that takes rows out of a pandas table, and a DataLoader. It reads
a fiftieth of the rows, and its time is multiplied; ours reads all of them.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, COLUMNS, BATCH, SHARE = 2_000_000, 32, 1024, 50
FILE = "rows.parquet"


def main() -> None:
    from bench._pairs import measure

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        size = _write(Path(folder) / FILE)
        print(f"{ROWS:,} rows of {COLUMNS} float32: {size / 1e6:.0f} MB")
        for name, value in measure(["bench.large_table", "train", folder]).items():
            print(f"{name:44}{value / size:8.2f} times the rows' size")
        times = measure(["bench.large_table", "read", folder])
        for name, value in times.items():
            print(f"{name:44}{value:8.2f} s")
        print(f"{'ratio':44}{times['epoch, dlcli'] / times['epoch, pandas and DataLoader']:8.4f}")


def _write(file: Path) -> int:
    """Numbers, and a target that they tell something of; the bytes that they take."""
    x = np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"x{column}" for column in range(COLUMNS)])
    frame.assign(y=x[:, 0] + x[:, 1] ** 2).to_parquet(file)
    return x.nbytes


def train(folder: str) -> dict[str, float]:
    """Train one epoch with the record; return the peak memory beyond that after imports and a small run."""
    import dlcli

    def run(path: Path) -> None:
        dlcli.train(
            ["dataset=table", f"dataset.path='{path}'", "dataset.target=y", f"dataset.batch_size={BATCH}",
             "trainer.max_epochs=1", "trainer.accelerator=cpu", f"runs_dir='{folder}/runs'"]
        )  # fmt: skip

    small = Path(folder) / "small.parquet"
    pd.DataFrame(np.random.default_rng(0).random((500, 3)), columns=["a", "b", "y"]).to_parquet(small)
    run(small)
    before = _peak()
    run(Path(folder) / FILE)
    return {"peak memory of a training": _peak() - before}


def read(folder: str) -> dict[str, float]:
    """Seconds of an epoch's reading in random order."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    from dlcli.training.loader import BatchLoader

    frame = pd.read_parquet(Path(folder) / FILE)

    class Rows(Dataset):
        def __len__(self) -> int:
            return len(frame) // SHARE

        def __getitem__(self, row: int) -> tuple[np.ndarray, np.float32]:
            values = frame.iloc[row].to_numpy()
            return values[:-1], values[-1]

    started = time.perf_counter()
    for _ in DataLoader(Rows(), BATCH, shuffle=True):
        pass
    theirs = (time.perf_counter() - started) * SHARE
    fields = {
        "x": torch.from_numpy(frame.drop(columns="y").to_numpy(np.float32)),
        "y": torch.from_numpy(frame["y"].to_numpy(np.float32)),
    }
    started = time.perf_counter()
    for _ in BatchLoader(fields, BATCH, shuffle=True):
        pass
    return {"epoch, dlcli": time.perf_counter() - started, "epoch, pandas and DataLoader": theirs}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps({"train": train, "read": read}[sys.argv[1]](sys.argv[2])))
