"""The files that `bench peers` reads, each made when a command first names it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

SHARED = Path(__file__).parents[2] / "shared" / "data"


class NoData(Exception):
    """Files that this machine does not have."""


def table(rows: int) -> pd.DataFrame:
    """Twenty numbers that tell something of two classes, in columns x0 to x19 and y."""
    x, y = make_classification(rows, 20, n_informative=10, random_state=0)
    frame = pd.DataFrame(x.astype(np.float32), columns=[f"x{column}" for column in range(20)])
    return frame.assign(y=np.where(y, "b", "a"))


def large(rows: int) -> pd.DataFrame:
    """Numbers in columns x0 to x31, and a number y that two of them determine."""
    x = np.random.default_rng(0).standard_normal((rows, 32), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"x{column}" for column in range(32)])
    return frame.assign(y=x[:, 0] + x[:, 1] ** 2)


def rows(file: Path) -> None:
    frame = table(10_000).drop(columns="y")
    pd.concat([frame] * 100, ignore_index=True).to_csv(file, index=False)


def images(folder: Path) -> None:
    archive = SHARED / "cifar10-subset.tar"
    if not archive.exists():
        raise NoData(f"needs {archive}")
    with tarfile.open(archive) as packed:
        packed.extractall(folder.parents[1], filter="data")


def trained(folder: Path) -> None:
    """A run named pred, whose model `predict` loads."""
    file = folder.parent / "t10k.parquet"
    if not file.exists():
        table(10_000).to_parquet(file)
    words = ["dataset=table", f"dataset.path={file}", "dataset.target=y", "model=mlp", "trainer.max_epochs=1"]
    command = [sys.executable, "-m", "dlcli", "train", *words, "run_name=pred", f"runs_dir={folder}"]
    subprocess.run(command, check=True, capture_output=True)


MADE: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    "table": ("t10k.parquet", lambda file: table(10_000).to_parquet(file)),
    "table_csv": ("t10k.csv", lambda file: table(10_000).to_csv(file, index=False)),
    "steps": ("t20k.parquet", lambda file: table(20_000).to_parquet(file)),
    "one_row": ("one_row.csv", lambda file: table(10_000).drop(columns="y").head(1).to_csv(file, index=False)),
    "rows": ("rows.csv", rows),
    "large": ("large.parquet", lambda file: large(2_000_000).to_parquet(file)),
    "larger": ("larger.parquet", lambda file: large(3_000_000).to_parquet(file)),
    "larger_csv": ("larger.csv", lambda file: large(3_000_000).to_csv(file, index=False)),
    "images": ("cifar10-subset/train", images),
    "trained": ("trained", trained),
}  # fmt: skip
"""Name in a command to file and maker."""

_BCCD = SHARED / "detection" / "bccd" / "bccd.tar"
_MOBILENET = SHARED.parent / "weights" / "mobilenetv2_100.safetensors"
FOUND: Mapping[str, tuple[Path, Path]] = {
    "mnist": (SHARED / "MNIST" / "raw", SHARED),
    "bccd": (_BCCD, _BCCD),
    "mobilenet": (_MOBILENET, _MOBILENET),
}
"""Name in a command to the file or folder that has to be there, and to what the command is given."""


def made(name: str, place: Path) -> Path:
    """Return the file or folder of a name, made in `place` if it is missing.

    Raises:
        NoData: it is made from files that are missing.
    """
    if name in FOUND:
        needed, used = FOUND[name]
        if not needed.exists():
            raise NoData(f"needs {needed}")
        return used
    file, make = MADE[name]
    path = place / file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    return path
