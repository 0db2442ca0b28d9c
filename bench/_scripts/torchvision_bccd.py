"""A plain training script with torchvision's SSDlite on BCCD, beside `model=detector` of dlcli.

    python bench/_scripts/torchvision_bccd.py bccd.tar mobilenetv2_100.safetensors EPOCHS

It does what a user of the library would write: a MobileNetV2 of timm with its weights as the backbone of
`torchvision.models.detection.SSD`, AdamW with one cycle of the learning rate, flips. It prints the mean average
precision of the validation and test parts by torchmetrics, and CPU seconds.
"""

from __future__ import annotations

import io
import sys
import tarfile
import time
from collections import OrderedDict
from functools import partial
from typing import Any
from xml.etree import ElementTree

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.transforms.functional import pil_to_tensor

CLASSES = ("Platelets", "RBC", "WBC")
WIDTH, HEIGHT, BATCH, RATE = 320, 240, 4, 0.002


def read(path: str) -> dict[str, list[tuple[Tensor, dict[str, Tensor]]]]:
    """Return images and boxes of each part."""
    found: dict[str, list[tuple[Tensor, dict[str, Tensor]]]] = {}
    with tarfile.open(path) as archive:
        files = {name.rpartition("/")[2]: name for name in archive.getnames()}

        def content(name: str) -> bytes:
            return archive.extractfile(files[name]).read()  # type: ignore[union-attr]

        for part in ("train", "val", "test"):
            found[part] = []
            for name in content(f"{part}.txt").decode().split():
                picture = Image.open(io.BytesIO(content(f"{name}.jpg"))).convert("RGB")
                scale = torch.tensor([WIDTH / picture.width, HEIGHT / picture.height] * 2)
                boxes, labels = [], []
                for box in ElementTree.fromstring(content(f"{name}.xml")).iter("object"):
                    sides = [
                        float(str(box.findtext(f"bndbox/{key}"))) for key in ("xmin", "ymin", "xmax", "ymax")
                    ]
                    if sides[2] > sides[0] and sides[3] > sides[1]:
                        boxes.append(sides)
                        labels.append(1 + CLASSES.index(str(box.findtext("name"))))
                target = {"boxes": torch.tensor(boxes).view(-1, 4) * scale, "labels": torch.tensor(labels)}
                found[part].append((pil_to_tensor(picture.resize((WIDTH, HEIGHT))), target))
    return found


class Backbone(nn.Module):
    """Features of MobileNetV2 at a 16th and a 32nd of the side, and of further layers that halve them."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.body = timm.create_model("mobilenetv2_100", features_only=True, out_indices=(3, 4))
        state = load_file(weights)
        lacking = self.body.load_state_dict(state, strict=False).missing_keys
        assert not lacking, lacking
        self.more = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU6())
            for inputs, outputs in ((320, 256), (256, 128))
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = list(self.body(x))
        for layer in self.more:
            found.append(layer(found[-1]))
        return OrderedDict((str(place), values) for place, values in enumerate(found))


@torch.no_grad()
def precision(model: Any, rows: list[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, float]:
    """Return the mean average precision of images."""
    model.eval()
    metric = MeanAveragePrecision(backend="faster_coco_eval")
    for first in range(0, len(rows), 16):
        some = rows[first : first + 16]
        metric.update(model([image / 255 for image, _ in some]), [target for _, target in some])
    values = metric.compute()
    return {name: round(float(values[name]), 4) for name in ("map_50", "map")}


def main(path: str, weights: str, epochs: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    parts = read(path)
    started = time.process_time()
    anchors = DefaultBoxGenerator([[2, 3]] * 4, min_ratio=0.1, max_ratio=0.9)
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    head = SSDLiteHead([96, 320, 256, 128], anchors.num_anchors_per_location(), len(CLASSES) + 1, norm)
    model: Any = SSD(
        Backbone(weights), anchors, (WIDTH, HEIGHT), len(CLASSES) + 1, head=head, detections_per_img=100,
        nms_thresh=0.55, topk_candidates=300, score_thresh=0.001,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    rows = parts["train"]
    steps = -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=int(epochs) * steps)
    for epoch in range(int(epochs)):
        model.train()
        for batch in torch.randperm(len(rows)).split(BATCH):
            images, targets = [], []
            for image, target in (rows[row] for row in batch.tolist()):
                boxes = target["boxes"]
                if torch.rand(()) < 0.5:
                    image, boxes = image.flip(-1), boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
                    boxes = boxes + torch.tensor([WIDTH, 0, WIDTH, 0])
                images.append(image / 255)
                targets.append({"boxes": boxes, "labels": target["labels"]})
            loss = sum(model(images, targets).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}  CPU {time.process_time() - started:.0f} s", flush=True)
    for part in ("val", "test"):
        print(part, precision(model, parts[part]), f"CPU {time.process_time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
