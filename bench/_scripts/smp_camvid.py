"""A plain training script with segmentation-models-pytorch on CamVid, beside `model=segmentation` of dlcli.

    python bench/_scripts/smp_camvid.py CAMVID.tar mobilenetv2_100.safetensors

It does what a user of the library would write: a U-Net with a pretrained encoder, its Dice loss and cross-entropy,
AdamW with one cycle of the learning rate, flips. It prints mean IoU of the validation part per epoch, that of the test
part for the best epoch, and CPU seconds.
"""

from __future__ import annotations

import io
import sys
import tarfile
import time

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

SIZE, CLASSES, VOID = (96, 128), 11, 11
EPOCHS, BATCH, RATE = 6, 8, 0.002
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def read(path: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return images `(N, 3, H, W)` and masks `(N, H, W)` of each part."""
    found: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {"train": [], "val": [], "test": []}
    with tarfile.open(path) as archive:
        names = {name for name in archive.getnames() if "/images/" in name and name.endswith(".jpg")}
        for name in sorted(names):
            part = name.split("/")[1]
            pixels = [
                Image.open(io.BytesIO(archive.extractfile(file).read()))  # type: ignore[union-attr]
                for file in (name, name.replace("/images/", "/masks/").replace(".jpg", ".png"))
            ]
            image = pixels[0].convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
            mask = pixels[1].resize(SIZE[::-1], Image.Resampling.NEAREST)
            found[part].append((name, np.asarray(image), np.asarray(mask)))
    return {
        part: (
            torch.from_numpy(np.stack([image for _, image, _ in rows])).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack([mask for *_, mask in rows]).astype(np.int64)),
        )
        for part, rows in found.items()
    }


def scaled(images: Tensor) -> Tensor:
    """Return images as the encoder takes them."""
    return (images.float() / 255 - MEAN[:, None, None]) / STD[:, None, None]


@torch.no_grad()
def miou(model: nn.Module, images: Tensor, masks: Tensor) -> float:
    """Return the mean IoU over the pixels of all images."""
    model.eval()
    counts = torch.zeros(CLASSES, CLASSES)
    for first in range(0, len(images), 16):
        predicted = model(scaled(images[first : first + 16])).argmax(dim=1)
        y = masks[first : first + 16]
        known = y != VOID
        counts += torch.bincount(y[known] * CLASSES + predicted[known], minlength=CLASSES**2).view(
            CLASSES, CLASSES
        )
    right = counts.diagonal()
    return float((right / (counts.sum(0) + counts.sum(1) - right)).nanmean())


def main(path: str, weights: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    parts = read(path)
    started = time.process_time()
    model = smp.Unet(
        "tu-mobilenetv2_100",
        encoder_weights=None,
        decoder_channels=[64, 48, 32, 24, 16],
        classes=CLASSES,
    )
    lacking = model.encoder.model.load_state_dict(load_file(weights), strict=False).missing_keys
    assert not lacking, lacking
    dice = smp.losses.DiceLoss("multiclass", ignore_index=VOID)
    cross = nn.CrossEntropyLoss(ignore_index=VOID)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    images, masks = parts["train"]
    steps = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    best, state = 0.0, None
    for epoch in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(images)).split(BATCH):
            x, y = scaled(images[rows]), masks[rows]
            flipped = torch.rand(len(rows)) < 0.5
            x[flipped], y[flipped] = x[flipped].flip(-1), y[flipped].flip(-1)
            outputs = model(x)
            loss = 0.5 * dice(outputs, y) + 0.5 * cross(outputs, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        found = miou(model, *parts["val"])
        if found > best:
            best, state = found, {name: value.clone() for name, value in model.state_dict().items()}
        print(f"epoch {epoch + 1}  val {found:.4f}  CPU {time.process_time() - started:.0f} s", flush=True)
    assert state is not None
    model.load_state_dict(state)
    print(
        f"val {best:.4f}  test {miou(model, *parts['test']):.4f}  CPU {time.process_time() - started:.0f} s"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
