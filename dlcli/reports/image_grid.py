"""A grid of images with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dlcli.reports.style import DPI, FONT, INK, caption, literal

COLUMNS = 6
MOST = 24
_LINES, _CHARACTERS = 3, 20  # maximum size of a caption
_CELL = (1.6, 2.05)  # width and height of an image with its caption, in inches


def image_grid(images: np.ndarray, captions: Sequence[str], note: str = "") -> Figure:
    """Plot the first `MOST` images of `(N, H, W)` or `(N, H, W, C)`, dtype uint8, each with its caption."""
    shown = min(len(images), MOST)
    columns = min(COLUMNS, max(shown, 2))
    rows = max(-(-shown // columns), 1)
    width, height = _CELL[0] * columns, _CELL[1] * rows
    figure = Figure(figsize=(width, height + 0.4), dpi=DPI, layout="constrained", facecolor="white")
    # All images share one Axes object with coordinates in inches, because one for each would be many times slower.
    ax = figure.add_subplot(aspect="equal", xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    for place, (image, text) in enumerate(zip(images[:shown], captions, strict=False)):
        row, column = divmod(place, columns)
        left, bottom = _CELL[0] * column, _CELL[1] * (row + 1)
        grey = image.ndim == 2 or image.shape[-1] == 1
        pixels = image.squeeze(-1) if image.ndim == 3 and grey else image
        high, wide = pixels.shape[:2]
        size = 1.4 / max(high, wide)
        middle = left + _CELL[0] / 2
        sides = (
            middle - size * wide / 2,
            middle + size * wide / 2,
            bottom - 0.05,
            bottom - 0.05 - size * high,
        )
        # Without smoothing, so that small images (8 x 8) look as the model receives them.
        ax.imshow(
            pixels, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest", extent=sides
        )
        lines = "\n".join(textwrap.wrap(text, _CHARACTERS)[:_LINES])
        ax.text(middle, sides[3] - 0.05, literal(lines), fontsize=FONT["small"], color=INK, ha="center")
    ax.set(xlim=(0, width), ylim=(height, 0))  # imshow has set them to the limits of its image
    caption(figure, note)
    return figure
