"""A frozen MobileNet at 96 px: an epoch on kept features, one that computes them anew, and a plain timm + PyTorch loop.

CPU seconds of an epoch on 4,250 photographs, validation and checkpoints included: from the difference between a longer
and a shorter training. BENCH_SHARED names the folder that holds data/cifar10-subset.tar and weights/.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

SHARED = Path(os.environ.get("BENCH_SHARED", str(Path(__file__).parents[2] / "shared")))
IMAGES, WEIGHTS = SHARED / "data" / "cifar10-subset.tar", SHARED / "weights" / "mobilenetv1_100.safetensors"
NAME, SIDE, BATCH = "mobilenetv1_100", 96, 32


def main() -> None:
    from bench._pairs import measure

    if not IMAGES.is_file() or not WEIGHTS.is_file():
        print(f"left out: no images or weights in {SHARED} (BENCH_SHARED names its folder)")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cached = measure(["bench.transfer", "cached", folder])["epoch"]
        computed = measure(["bench.transfer", "computed", folder])["epoch"]
        plain = measure(["bench.transfer", "plain"])["epoch"]
    for name, seconds in (("kept features", cached), ("computed anew", computed), ("timm + PyTorch", plain)):
        print(f"{name:20}{seconds:8.3f} CPU seconds an epoch, {seconds / cached:6.1f} times the first")


def ours(cache: str, folder: str) -> None:
    import dlcli

    def seconds(epochs: int) -> float:
        start = time.process_time()
        dlcli.train(
            [
                "experiment=cifar10_mobilenet", f"dataset.path={IMAGES}", f"model.weights={WEIGHTS}",
                f"model.input_size={SIDE}", f"dataset.batch_size={BATCH}", f"finetune.cache={cache}",
                f"trainer.max_epochs={epochs}", "trainer.accelerator=cpu", f"runs_dir={folder}",
            ]
        )  # fmt: skip
        return time.process_time() - start

    more = 20 if cache == "true" else 1
    seconds(1)  # imports, the store, and the features that are kept
    once = seconds(1)
    print(json.dumps({"epoch": (seconds(1 + more) - once) / more}))


def plain() -> None:
    import timm
    import torch
    from torch import nn

    from dlcli.datasets.image_folder import load

    config = {"file": str(WEIGHTS), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    backbone = timm.create_model(
        NAME, pretrained=True, pretrained_cfg_overlay=config, pad_type="same", num_classes=0
    ).eval()
    head = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10))
    data = load(str(IMAGES))
    x, y = torch.from_numpy(data.x).permute(0, 3, 1, 2), torch.from_numpy(data.y)
    train, val = torch.randperm(5000)[:4250], torch.arange(5000, 5750)
    optimizer = torch.optim.Adam(head.parameters())

    def features(rows: torch.Tensor) -> torch.Tensor:
        images = (x[rows].float() / 255 - 0.5) / 0.5
        images = nn.functional.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
        with torch.no_grad():
            return backbone(images)

    start = time.process_time()
    for rows in train.split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features(rows)), y[rows]).backward()
        optimizer.step()
    for rows in val.split(512):
        head(features(rows))
    print(json.dumps({"epoch": time.process_time() - start}))


if __name__ == "__main__":
    if sys.argv[1] == "plain":
        plain()
    else:
        ours("true" if sys.argv[1] == "cached" else "false", sys.argv[2])
