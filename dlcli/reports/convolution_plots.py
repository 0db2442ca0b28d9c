"""Plot the filters of a network's first convolution, and its output for one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from dlcli.datasets.data import Data
from dlcli.inference.evaluation import kept_on
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.style import DPI, FONT, INK, caption

_MOST = 32  # maximum number of filters that are shown
_WIDE = 6  # filters side by side
_SIDE, _SPACE = 3.1, 0.25  # side of a picture, and space between pictures, in inches


def filter_figure(model: SavedModel, data: Data, row: int, image: np.ndarray) -> Figure | None:
    """Plot the first convolution's filters and feature maps; None for a network without one of at least 2 x 2 pixels.

    A filter of three input channels is drawn in colour, other filters as the mean over their input channels. Each
    filter and each feature map has its own scale, from its smallest to its largest value.

    Args:
        model: The trained model.
        data: Rows of the dataset.
        row: Number of the row whose feature maps are drawn.
        image: That row's image `(H, W)` or `(H, W, C)` as bytes.
    """
    network = model.network.model
    convolution = next(
        (m for m in network.modules() if isinstance(m, nn.Conv2d) and min(m.kernel_size) > 1), None
    )
    if convolution is None:
        return None
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept.append(output[0].detach().float().cpu())

    hook = convolution.register_forward_hook(keep)
    try:
        kept_on(model, data, np.array([row]), next(network.parameters()).device, None)
    finally:
        hook.remove()
    if not kept:
        return None
    weights = convolution.weight.detach().float().cpu()[:_MOST]
    filters = weights.permute(0, 2, 3, 1) if weights.shape[1] == 3 else weights.mean(dim=1)
    shown = [
        ("image", image.squeeze(-1) if image.ndim == 3 and image.shape[-1] == 1 else image),
        ("filters of the first convolution", _tiles(filters)),
        ("its output for the image", _tiles(kept[0][:_MOST])),
    ]
    wide, high = 3 * _SIDE + 4 * _SPACE, _SIDE + 0.35
    figure = Figure(figsize=(wide, high + 0.5), dpi=DPI, layout="constrained", facecolor="white")
    # One Axes object with coordinates in inches: three of them would take twice as long.
    ax = figure.add_subplot(aspect="equal", xlim=(0, wide), ylim=(high, 0))
    ax.set_axis_off()
    for place, (title, pixels) in enumerate(shown):
        left, top = _SPACE + place * (_SIDE + _SPACE), 0.3
        scale = _SIDE / max(pixels.shape[:2])
        extent = (left, left + scale * pixels.shape[1], top + scale * pixels.shape[0], top)
        ax.imshow(pixels, cmap="gray", interpolation="nearest", extent=extent)
        ax.text(left, top - 0.08, title, fontsize=FONT["label"], color=INK)
    ax.set(xlim=(0, wide), ylim=(high, 0))  # imshow has set them to the limits of its image
    count = (
        f"The first {_MOST} of {convolution.out_channels} filters"
        if convolution.out_channels > _MOST
        else "Filters"
    )
    caption(figure, f"{count}, each with its own scale: white is its largest value.")
    return figure


def _tiles(stack: Tensor) -> np.ndarray:
    """Return images `(N, H, W)` or `(N, H, W, 3)` side by side with grey lines between them, each scaled to 0 to 1."""
    flat = stack.flatten(1)
    low, high = flat.min(dim=1).values, flat.max(dim=1).values
    shape = (-1, *[1] * (stack.ndim - 1))
    scaled = (stack - low.view(shape)) / (high - low).clamp_min(torch.finfo(torch.float32).tiny).view(shape)
    images = scaled.numpy()
    height, width = images.shape[1:3]
    columns = min(_WIDE, len(images))
    rows = -(-len(images) // columns)
    line = max(1, height // 12)
    sides = (rows * (height + line) - line, columns * (width + line) - line, *images.shape[3:])
    tiled = np.full(sides, 0.6, np.float32)
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + line), (number % columns) * (width + line)
        tiled[top : top + height, left : left + width] = image
    return tiled
