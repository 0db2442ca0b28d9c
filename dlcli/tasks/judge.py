"""The judge: a classifier that evaluates generated images by its features and predicted classes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from dlcli.config.build import build
from dlcli.gate.gate import current
from dlcli.models.cnn import CNN
from dlcli.models.meta_device import on_meta

# Number of features: enough to distinguish classes and styles, and few enough that some hundred samples determine their
# covariance.
FEATURES = 32

# With fewer images the covariance of the features is not determined: the Frechet distance of equal distributions
# exceeds 1.
ENOUGH_IMAGES = 10 * FEATURES

# Number of images evaluated at a time.
_ROWS = 512


@dataclass(frozen=True)
class JudgeFacts:
    """A judge in plain types, as stored in a saved model.

    Attributes:
        weights: its tensors, as a safetensors file in base64.
        image: channels, height and width.
        reference: class, predicted class and features of some training rows `(R, 2 + FEATURES)`, as 16-bit floats in
            base64.
        accuracy: accuracy of the judge.
        rows: rows of the accuracy, `validation` or `training`.
        network: the network of a saved run, `JudgeNetwork` as JSON; None for the judge that dlcli trains.
        name: name of that run.
    """

    weights: str
    image: tuple[int, int, int]
    reference: str
    accuracy: float
    rows: str
    network: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class JudgeNetwork:
    """The classifier of a saved run, in plain types, without its weights.

    Attributes:
        model: its section `model`.
        facts: the facts that are its arguments.
        features: number of features, the inputs of its last linear layer.
        order: code of each class of the task in the classifier.
    """

    model: Mapping[str, Any]
    facts: Mapping[str, Any]
    features: int
    order: Sequence[int]

    def build(self) -> nn.Module:
        """Return the network with new weights; only classes accepted by the gate are built."""
        if gate := current():
            gate.admit_all({"model": dict(self.model)})
            gate.admit_facts(self.model, "model", self.facts)
        facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in self.facts.items()}
        network: nn.Module = build(self.model, where="model", **facts, restored=True)
        return network


class Judge(nn.Module):
    """A small convolutional classifier whose last hidden layer provides the features.

    Features are divided by their common standard deviation over training rows, so that distances do not depend on the
    scale of a layer.

    The classifier of a saved run can be used instead. Its features are the first `FEATURES` principal components, over
    training rows, of the inputs of its last linear layer.

    Args:
        image: channels, height and width.
        classes: number of classes.
        source: the classifier of a saved run.

    Raises:
        ValueError: the last linear layer of that classifier does not have one output per class.
    """

    scale: Tensor
    factor: Tensor
    shift: Tensor
    components: Tensor
    center: Tensor

    def __init__(self, image: tuple[int, int, int], classes: int, source: JudgeNetwork | None = None) -> None:
        super().__init__()
        self.image = image
        self.source = source
        self._seen: list[Tensor] = []
        if source is not None:
            self.network = source.build()
            last_linear(self.network, classes).register_forward_pre_hook(self._keep)
            self.register_buffer("factor", torch.ones(image[0], 1, 1))
            self.register_buffer("shift", torch.zeros(image[0], 1, 1))
            self.register_buffer("components", torch.zeros(source.features, FEATURES))
            self.register_buffer("center", torch.zeros(source.features))
            self.register_buffer("scale", torch.ones(()))
            return
        # The network of `experiment=mnist_fast`, with a narrow layer before the output.
        self.network = CNN(
            image, classes, channels=(16, 32, 64), kernel_size=(5, 3, 3), stride=2, pool=1, hidden=FEATURES,
            normalization="batch", dropout=0.0, channels_last=False,
        )  # fmt: skip
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(N, FEATURES)` and logits `(N, C)` of images `(N, C, H, W)` from 0 to 255."""
        if self.source is not None:
            found, logits = self.raw(images)
            return (found - self.center) @ self.components / self.scale, logits
        network: Any = self.network
        hidden = network.features(images.float() / 127.5 - 1)
        *before, last = network.head
        for layer in before:
            hidden = layer(hidden)
        return hidden / self.scale, last(hidden)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs of the last linear layer of a saved run's classifier, `(N, F)`, and logits `(N, C)`."""
        assert self.source is not None
        self._seen.clear()
        logits: Tensor = self.network(images.float() * self.factor + self.shift)
        (hidden,) = self._seen
        if logits.shape[1] == 1:  # two classes
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return hidden.flatten(1), logits[:, list(self.source.order)]

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen.append(inputs[0])

    @torch.no_grad()
    def judged(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(N, FEATURES)` and predicted classes `(N,)`; the judge is in evaluation mode."""
        self.eval()
        parts = [self(some) for some in images.split(_ROWS)]
        return torch.cat([features for features, _ in parts]), torch.cat([out.argmax(1) for _, out in parts])

    def to_facts(
        self, reference: Tensor, accuracy: float, rows: str = "validation", name: str | None = None
    ) -> JudgeFacts:
        """Return the judge in plain types; `reference` are features of training rows as in `JudgeFacts`."""
        weights = {name: values.cpu().contiguous() for name, values in self.state_dict().items()}
        return JudgeFacts(
            base64.b64encode(save_tensors(weights)).decode(),
            self.image,
            base64.b64encode(reference.cpu().numpy().astype("<f2").tobytes()).decode(),
            accuracy,
            rows,
            None if self.source is None else json.dumps(asdict(self.source)),
            name,
        )


def last_linear(network: nn.Module, classes: int) -> nn.Linear:
    """Return the last linear layer of a classifier.

    Raises:
        ValueError: there is none with one output per class.
    """
    outputs = {classes, 1} if classes == 2 else {classes}
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers or layers[-1].out_features not in outputs:
        raise ValueError(f"{type(network).__name__} does not end in a linear layer with {classes} outputs")
    return layers[-1]


def judge_of(weights: str, image: Any, classes: int, network: str | None = None) -> Judge:
    """Return the judge of `JudgeFacts`.

    Raises:
        ValueError: the weights do not belong to a judge of such images.
    """
    channels, height, width = (int(size) for size in image)
    tensors = load_tensors(base64.b64decode(weights, validate=True))
    source = None if network is None else JudgeNetwork(**json.loads(network))
    with on_meta():
        judge = Judge((channels, height, width), classes, source)
    for name, values in judge.state_dict().items():  # check before allocating memory for declared sizes
        if name not in tensors or tensors[name].shape != values.shape:
            raise ValueError(f"the judge's {name} is missing or has another shape")
    judge.load_state_dict(tensors, assign=True)
    return judge.eval().requires_grad_(False)


def reference_of(text: str) -> Tensor:
    """Return the features of training rows `(R, 2 + FEATURES)` of `JudgeFacts`."""
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
    return torch.from_numpy(values.astype(np.float32)).reshape(-1, 2 + FEATURES)
