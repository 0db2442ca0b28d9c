"""The classifier that judges made images: its features, in which distances are measured, and the class that it sees."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from dlcli.models.cnn import CNN

# Number of its features: enough to tell classes and styles apart, and few enough that some hundred samples determine
# their covariance.
FEATURES = 32

# Images that are judged at a time.
_ROWS = 512


@dataclass(frozen=True)
class JudgeFacts:
    """A judge in plain types, as a saved model has it.

    Attributes:
        weights: its tensors, a file of safetensors in base64.
        image: channels, height and width.
        reference: features of some training rows `(R, 2 + FEATURES)`, each after its class and the class that the judge
            sees, as 16-bit floats in base64.
        accuracy: share of held-out rows whose class it recognises.
    """

    weights: str
    image: tuple[int, int, int]
    reference: str
    accuracy: float


class Judge(nn.Module):
    """A small convolutional classifier, the last hidden layer of which gives the features.

    Features are divided by their deviation over training rows (of all features together), so that distances do not
    depend on the scale of a layer.

    Args:
        image: channels, height and width.
        classes: number of classes.
    """

    scale: Tensor

    def __init__(self, image: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.image = image
        # The network of `experiment=mnist_fast`, with a narrow layer before the output.
        self.network = CNN(
            image, classes, channels=(16, 32, 64), kernel_size=(5, 3, 3), stride=2, pool=1, hidden=FEATURES,
            normalization="batch", dropout=0.0,
        )  # fmt: skip
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(N, FEATURES)` and logits `(N, C)` of images `(N, C, H, W)` from 0 to 255."""
        hidden = self.network.features(images.float() / 127.5 - 1)
        *before, last = self.network.head
        for layer in before:
            hidden = layer(hidden)
        return hidden / self.scale, last(hidden)

    @torch.no_grad()
    def judged(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(N, FEATURES)` and the class that is seen `(N,)`; the judge is in evaluation mode."""
        self.eval()
        parts = [self(some) for some in images.split(_ROWS)]
        return torch.cat([features for features, _ in parts]), torch.cat([out.argmax(1) for _, out in parts])

    def to_facts(self, reference: Tensor, accuracy: float) -> JudgeFacts:
        """Return the judge in plain types; `reference` are features of training rows, as `JudgeFacts` has them."""
        weights = {name: values.cpu().contiguous() for name, values in self.state_dict().items()}
        return JudgeFacts(
            base64.b64encode(save_tensors(weights)).decode(),
            self.image,
            base64.b64encode(reference.cpu().numpy().astype("<f2").tobytes()).decode(),
            accuracy,
        )


def judge_of(weights: str, image: Any, classes: int) -> Judge:
    """Return the judge of `JudgeFacts`.

    Raises:
        ValueError: the weights are not those of a judge of such images.
    """
    channels, height, width = (int(size) for size in image)
    tensors = load_tensors(base64.b64decode(weights, validate=True))
    with torch.device("meta"):
        judge = Judge((channels, height, width), classes)
    for name, values in judge.state_dict().items():  # before memory is taken for what a folder declares
        if name not in tensors or tensors[name].shape != values.shape:
            raise ValueError(f"the judge's {name} is missing or has another shape")
    judge.load_state_dict(tensors, assign=True)
    return judge.eval().requires_grad_(False)


def reference_of(text: str) -> Tensor:
    """Return the features of training rows `(R, 2 + FEATURES)` of `JudgeFacts`."""
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
    return torch.from_numpy(values.astype(np.float32)).reshape(-1, 2 + FEATURES)
