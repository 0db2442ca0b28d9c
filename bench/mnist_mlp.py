"""An MLP on MNIST (784-512-10, RMSprop, batch 128, 5 epochs): dlcli with its whole record, and a plain PyTorch loop.

The loop reads the same files, takes the same steps, and judges itself on the same rows after each epoch and at the
end. Imports are counted apart, threads are fixed, the store exists. BENCH_MNIST names the folder that holds MNIST/raw.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

EPOCHS, BATCH, VAL_SIZE = 5, 128, 0.15
ROOT = os.environ.get("BENCH_MNIST", str(Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    from bench._pairs import compare, measure

    if not (Path(ROOT) / "MNIST" / "raw").is_dir():
        print(f"left out: no MNIST/raw in {ROOT} (BENCH_MNIST names its folder)")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measure(["bench.mnist_mlp", "ours", folder])  # makes the store
        compare(["bench.mnist_mlp", "ours", folder], ["bench.mnist_mlp", "loop"])


def ours(folder: str) -> None:
    # What the run imports, counted apart.
    for name in (
        "hydra",
        "matplotlib.figure",
        "mlflow.pyfunc",
        "pyarrow.parquet",
        "pytorch_lightning",
        "skops.io",
        "sklearn",
        "torchvision",
    ):
        importlib.import_module(name)
    import dlcli

    timer = Timer()
    result = dlcli.train(
        [
            "dataset=mnist", f"dataset.root={ROOT}", f"dataset.batch_size={BATCH}", "model=mlp", "model.hidden=512",
            "model.layers=1", "optimizer=rmsprop", f"trainer.max_epochs={EPOCHS}", f"cv.val_size={VAL_SIZE}",
            "callbacks=none", f"runs_dir={folder}",
        ]
    )  # fmt: skip
    timer.report(result.metrics["test/accuracy"])


def loop() -> None:
    import numpy as np
    import torch
    from torch import nn

    timer = Timer()
    raw = Path(ROOT) / "MNIST" / "raw"

    def read(name: str, header: int) -> np.ndarray:
        return np.frombuffer(
            gzip.decompress((raw / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=header
        )

    def images(part: str) -> torch.Tensor:
        return torch.from_numpy(read(f"{part}-images-idx3", 16).reshape(-1, 784).astype(np.float32) / 255)

    def labels(part: str) -> torch.Tensor:
        return torch.from_numpy(read(f"{part}-labels-idx1", 8).astype(np.int64))

    torch.manual_seed(0)
    x, y = images("train"), labels("train")
    order = torch.randperm(len(x))
    cut = round(len(x) * VAL_SIZE)
    val, train = order[:cut], order[cut:]
    mean, std = x[train].mean(), x[train].std()
    x = (x - mean) / std
    x_train, y_train, x_val, y_val = x[train], y[train], x[val], y[val]
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9)
    criterion = nn.CrossEntropyLoss()

    def judge(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
        with torch.inference_mode():
            outputs = model(x)
            return criterion(outputs, y).item(), (outputs.argmax(1) == y).float().mean().item()

    for _ in range(EPOCHS):
        order = torch.randperm(len(x_train))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            optimizer.zero_grad()
            criterion(model(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
        judge(x_val, y_val)
    _, accuracy = judge((images("t10k") - mean) / std, labels("t10k"))
    timer.report(accuracy)


class Timer:
    """CPU and wall time since it was made; CPU time counts all threads and the processes started."""

    def __init__(self) -> None:
        self._cpu, self._wall = self._now()

    def _now(self) -> tuple[float, float]:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system, time.perf_counter()

    def report(self, accuracy: float) -> None:
        cpu, wall = self._now()
        figures = {
            "cpu seconds": cpu - self._cpu,
            "wall seconds": wall - self._wall,
            "test accuracy": accuracy,
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        ours(sys.argv[2])
    else:
        loop()
