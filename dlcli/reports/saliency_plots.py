"""Plot images with attributions of their predicted classes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcli.reports.style import DPI, FONT, INK, caption, literal

_SIDE, _SPACE, _TEXT = (
    1.5,
    0.12,
    0.4,
)  # side of a picture, space between pictures and for a caption, in inches
_WIDE = 3  # rows side by side
_CHARACTERS = 26


@dataclass(frozen=True)
class SalientImage:
    """An image and its heat maps.

    Attributes:
        image: `(H, W)` or `(H, W, C)`, bytes.
        pixels: Attribution of each pixel `(H, W)`.
        regions: Grad-CAM `(H, W)` from 0 to 1, or None.
        text: Caption above it.
    """

    image: np.ndarray
    pixels: np.ndarray
    regions: np.ndarray | None
    text: str


def saliency_figure(groups: Sequence[tuple[str, Sequence[SalientImage]]], note: str) -> Figure:
    """Plot groups of images, each next to its integrated gradients and, if available, Grad-CAM.

    Args:
        groups: A heading and images each.
        note: Sentences below.
    """
    columns = 3 if any(one.regions is not None for _, images in groups for one in images) else 2
    cell = (columns * _SIDE + (columns + 1) * _SPACE, _SIDE + _TEXT)
    lines = [(title, images) for title, images in groups if images]
    widest = min(_WIDE, max((len(images) for _, images in lines), default=1))
    width = cell[0] * widest
    height = sum(0.35 + cell[1] * -(-len(images) // widest) for _, images in lines)
    figure = Figure(figsize=(width, height + 0.6), dpi=DPI, layout="constrained", facecolor="white")
    # One Axes object with coordinates in inches: one for each picture would take many times as long.
    ax = figure.add_subplot(aspect="equal", xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    top = 0.0
    for title, images in lines:
        ax.text(_SPACE, top + 0.25, literal(title), fontsize=FONT["title"], color=INK)
        top += 0.35
        for place, one in enumerate(images):
            row, column = divmod(place, widest)
            _draw_one(ax, one, column * cell[0], top + row * cell[1])
        top += cell[1] * -(-len(images) // widest)
    ax.set(xlim=(0, width), ylim=(height, 0))  # imshow has set them to the limits of its image
    caption(figure, note)
    return figure


def _draw_one(ax: Axes, one: SalientImage, left: float, top: float) -> None:
    lines = "\n".join(textwrap.wrap(one.text, _CHARACTERS * 2)[:2])
    ax.text(left + _SPACE, top + _TEXT - 0.1, literal(lines), fontsize=FONT["small"], color=INK, va="bottom")
    image = one.image.squeeze(-1) if one.image.ndim == 3 and one.image.shape[-1] == 1 else one.image
    high, wide = image.shape[:2]
    scale, low = _SIDE / max(high, wide), top + _TEXT

    def show(
        pixels: np.ndarray, place: int, colours: str, ends: tuple[float, float], alpha: float = 1
    ) -> None:
        x = left + _SPACE + place * (_SIDE + _SPACE)
        sides = (x, x + scale * wide, low + scale * high, low)
        ax.imshow(
            pixels,
            cmap=colours,
            vmin=ends[0],
            vmax=ends[1],
            interpolation="nearest",
            extent=sides,
            alpha=alpha,
        )

    show(image, 0, "gray", (0, 255))
    reach = float(np.quantile(np.abs(one.pixels), 0.995)) or 1.0
    show(one.pixels, 1, "RdBu_r", (-reach, reach))
    if one.regions is not None:
        show(image if image.ndim == 2 else image.mean(axis=2), 2, "gray", (0, 255))
        show(one.regions, 2, "inferno", (0, 1), 0.6)
