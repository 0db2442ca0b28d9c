"""Attributions of an output to pixels and words: integrated gradients and Grad-CAM, computed by captum.

Integrated gradients (Sundararajan, Taly and Yan, 2017) distribute the difference between the output for a row and that
for a baseline among the pixels or tokens. The baseline of an image is the mean pixel of the training rows; that of a
text has zero vectors (for models of counts, zero counts) at the positions of its tokens, and the mean statistics of the
training texts. Grad-CAM (Selvaraju et al., 2017) locates the features of the last convolution that increase the output.

The module requires captum, and is imported late.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.saved_model import SavedModel
from dlcli.models.mlp import MeanOfTokens
from dlcli.models.token_counts import weighted_sums
from dlcli.preprocessing.token_places import LocatesTokens, by_word
from dlcli.tasks.base import Task
from dlcli.training.fields import first_rows
from dlcli.training.network import Network

STEPS = 50  # of the integral
_TOKENS = 1 << 13  # that are computed at once
_IMAGES = 16


@dataclass(frozen=True)
class ChosenOutput:
    """The output that is attributed.

    Attributes:
        index: Its number among all outputs of a row.
        sign: -1 if it is the first of two classes, for which the output is the negative logit.
        name: Name of the class, label or target.
    """

    index: int
    sign: float
    name: str


@dataclass(frozen=True)
class Saliency:
    """Attributions of one output for one row.

    Attributes:
        difference: The output minus that for the baseline, in units of the model's output (logits of classes).
        gap: Difference between this and the sum of the attributions, because the integral is a sum of `STEPS` steps.
        pixels: For an image, the attribution of each pixel, `(H, W)`, summed over channels; otherwise None.
        regions: For an image, Grad-CAM from 0 to 1, `(H, W)`; None for models that are not convolutional.
        words: For a text, its words and the characters between them, each with its attribution.
        statistics: For a text, properties of the whole text that the model reads, each with its attribution.
    """

    difference: float
    gap: float
    pixels: np.ndarray | None = None
    regions: np.ndarray | None = None
    words: tuple[tuple[str, float], ...] = ()
    statistics: tuple[tuple[str, float], ...] = ()


def output_of(task: Task, outputs: Tensor) -> ChosenOutput:
    """Return the output to attribute for one row's outputs `(1, ...)`: that of the predicted class.

    For several labels, it is that of the most probable label; for several targets, that of the first.
    """
    classes = [str(name) for name in getattr(task, "classes", ())]
    flat = outputs.flatten()
    if task.kind == "binary":
        predicted = str(task.predictions(outputs)["prediction"].iloc[0])
        return ChosenOutput(0, 1.0 if predicted == classes[1] else -1.0, predicted)
    if classes:
        index = int(flat.argmax())
        return ChosenOutput(index, 1.0, classes[index])
    quantiles = list(getattr(task, "quantiles", ()))
    names = [str(name) for name in getattr(task, "names", ("",))]
    return ChosenOutput(quantiles.index(0.5) if 0.5 in quantiles else 0, 1.0, names[0])


def saliency_of(
    model: SavedModel, x: Any, output: ChosenOutput, device: torch.device | str = "cpu"
) -> Saliency:
    """Return the attributions of an output for a raw row; for an ensemble, the mean over its members.

    Args:
        model: The model, of images or texts.
        x: One row.
        output: The output.
        device: Device of the computation.

    Raises:
        ValueError: The model's tokens have no positions in the text, or its gradients are not finite.
    """
    members = (
        [(one.model, one.count) for one in model.members] if isinstance(model, Ensemble) else [(model, 1)]
    )
    found = []
    for member, _ in members:
        of_kind = _of_image if member.kind == "image" else _of_text
        found.append(of_kind(member, x, _Forward(member, model.task, output), torch.device(device)))
    shares = np.array([count for _, count in members], float)
    shares /= shares.sum()
    regions = [one.regions for one in found if one.regions is not None]
    words = [word for word, _ in found[0].words]
    values = [[value for _, value in one.words] for one in found]
    if any(len(one) != len(words) for one in values):
        raise ValueError("the members of the ensemble split texts into different words")
    statistics: dict[str, float] = {}
    for share, one in zip(shares.tolist(), found, strict=True):
        for name, value in one.statistics:
            statistics[name] = statistics.get(name, 0.0) + share * value
    return Saliency(
        float(shares @ [one.difference for one in found]),
        float(shares @ [abs(one.gap) for one in found]),
        None
        if found[0].pixels is None
        else np.tensordot(shares, np.stack([one.pixels for one in found if one.pixels is not None]), 1),
        np.mean(regions, axis=0) if regions else None,
        tuple(zip(words, (shares @ np.array(values)).tolist(), strict=True)) if words else (),
        tuple(statistics.items()),
    )


@dataclass(frozen=True)
class _Forward:
    """The chosen output of a network, without the calibration that follows it."""

    model: SavedModel
    task: Task
    output: ChosenOutput

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the output for each row, `(N,)`."""
        outputs = self.task.converted(self.model.network(batch), self.model.task)
        return outputs.flatten(1)[:, self.output.index] * self.output.sign


@contextmanager
def _differentiable(network: Network, device: torch.device) -> Iterator[None]:
    """Move the network to the device, in evaluation and without calibration, whose steps may have no gradients."""
    network.to(device).eval()
    calibration, network.calibration = network.calibration, None
    try:
        # The recurrent layers of cuDNN have no gradients in evaluation.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        network.calibration = calibration


def _of_image(model: SavedModel, x: Any, forward: _Forward, device: torch.device) -> Saliency:
    network = model.network
    batch = {name: values.to(device) for name, values in first_rows(model.fields(x), 1).items()}
    image = batch.pop("x").float()
    means = torch.as_tensor(np.asarray(getattr(model.preprocessing, "mean_", 0.5)) * 255).float().flatten()
    baseline = means.to(device).reshape(1, -1, 1, 1).expand_as(image)

    def of_pixels(pixels: Tensor) -> Tensor:
        return forward({**batch, "x": pixels})

    with _differentiable(network, device):
        attributed, gap = _integrated(of_pixels, image, baseline, _IMAGES)
        difference = float(of_pixels(image).detach() - of_pixels(baseline).detach())
        layer = _last_convolution(network, lambda: of_pixels(image))
        regions = None
        if layer is not None:
            seen = LayerGradCam(of_pixels, layer).attribute(image, relu_attributions=True)
            seen = LayerAttribution.interpolate(seen, tuple(image.shape[-2:]), "bilinear")[0, 0]
            regions = (seen / seen.max().clamp_min(torch.finfo(seen.dtype).tiny)).detach().cpu().numpy()
    return Saliency(difference, gap, attributed[0].sum(dim=0).cpu().numpy(), regions)


def _of_text(model: SavedModel, x: Any, forward: _Forward, device: torch.device) -> Saliency:
    network, preprocessing = model.network, model.preprocessing
    if not isinstance(preprocessing, LocatesTokens):
        raise ValueError(
            f"{type(preprocessing).__name__} does not define the positions of tokens (token_places)"
        )
    found = preprocessing.token_places(str(next(iter(x))))
    batch = {name: values.to(device) for name, values in first_rows(model.fields(x), 1).items()}
    tokens = batch["x"]
    fixed = torch.zeros(tokens.shape, device=device)  # tokens that stand for nothing in the text
    if "counts" in batch:
        numbers = tokens[0].tolist()
    else:
        numbers = list(range(tokens.shape[1]))
        fixed[0, : len(found.places)] = torch.tensor([float(not one) for one in found.places], device=device)

    def of_gates(gates: Tensor) -> Tensor:
        wide = {name: values.expand(len(gates), *values.shape[1:]) for name, values in batch.items()}
        with _gated(network.model, wide, torch.maximum(gates, fixed)) as changed:
            return forward(changed)

    gates = torch.ones(tokens.shape, device=device)
    with _differentiable(network, device):
        attributed, gap = _integrated(of_gates, gates, fixed, max(1, _TOKENS // tokens.shape[1]))
        difference = float(of_gates(gates).detach() - of_gates(torch.zeros_like(gates)).detach())
    values = dict(zip(numbers, attributed[0].tolist(), strict=True))
    if "counts" in batch:  # a bag: the occurrences of a token share its attribution
        times = {number: found.numbers.count(number) for number in set(found.numbers)}
        of_tokens = [values.get(number, 0.0) / times[number] for number in found.numbers]
    else:
        of_tokens = [values.get(place, 0.0) for place in range(len(found.numbers))]
    statistics = tuple((name, values.get(number, 0.0)) for number, name in found.names.items())
    return Saliency(difference, gap, words=tuple(by_word(found, of_tokens)), statistics=statistics)


def _integrated(
    of_inputs: Callable[[Tensor], Tensor], inputs: Tensor, baseline: Tensor, at_once: int
) -> tuple[Tensor, float]:
    """Return the integrated gradients of one row's inputs, and their sum's distance from the difference of outputs."""
    attributed, gap = IntegratedGradients(of_inputs, multiply_by_inputs=True).attribute(
        inputs,
        baseline,
        n_steps=STEPS,
        internal_batch_size=at_once,
        return_convergence_delta=True,
    )
    if not bool(torch.isfinite(attributed).all()):
        raise ValueError("the gradients are not finite")
    return attributed.detach(), float(gap)


@contextmanager
def _gated(model: nn.Module, batch: Mapping[str, Tensor], gates: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """Yield a batch in whose network the vector of each token is multiplied by its gate `(N, T)`.

    Raises:
        ValueError: The network has no token embeddings.
    """
    if (means := _first(model, MeanOfTokens)) is not None and "counts" in batch:

        def mean_of_gated(module: nn.Module, inputs: Any, _: Tensor) -> Tensor:
            x, counts = inputs
            sums = weighted_sums(means, x, counts * gates)
            return sums / counts.abs().sum(dim=1, keepdim=True).to(sums.dtype)

        handle, changed = means.register_forward_hook(mean_of_gated), dict(batch)
    elif "counts" in batch:
        yield {**batch, "counts": batch["counts"] * gates}
        return
    else:
        table = _first(model, nn.Embedding)
        if table is None:
            raise ValueError(f"{type(model).__name__} has no token embeddings (torch.nn.Embedding)")

        def gated(module: nn.Module, inputs: Any, vectors: Tensor) -> Tensor:
            return vectors * gates.unsqueeze(2) if vectors.shape[:2] == gates.shape else vectors

        handle, changed = table.register_forward_hook(gated), dict(batch)
    try:
        yield changed
    finally:
        handle.remove()


def _first(model: nn.Module, kind: type[Any]) -> Any:
    """Return the largest embedding of a type, which is that of the tokens; None if there is none."""
    tables = [module for module in model.modules() if isinstance(module, kind)]
    return max(tables, key=lambda table: table.num_embeddings, default=None)


def _last_convolution(network: Network, run: Callable[[], Tensor]) -> nn.Module | None:
    """Return the last convolution with several positions, or the normalization and activation that follow it.

    None for a network without one, and for Transformers, whose only convolution cuts the image into patches.
    """
    calls: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append((module, tuple(output.shape)))

    leaves = [module for module in network.model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    own = [
        place
        for place, (module, shape) in enumerate(calls)
        if isinstance(module, nn.Conv2d) and len(shape) == 4 and min(shape[2:]) > 1
    ]
    attends = any("attention" in type(module).__name__.lower() for module in network.model.modules())
    if not own or (attends and len(own) == 1):
        return None
    last = own[-1]
    layer, shape = calls[last]
    for module, size in calls[last + 1 :]:
        is_pooling = any(word in type(module).__name__.lower() for word in ("pool", "dropout", "flatten"))
        if size != shape or is_pooling or sum(other is module for other, _ in calls) > 1:
            break
        layer = module
    return layer
