"""Images in a grid, each with its caption."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dlcli.reports.style import FONT, INK, caption, literal

COLUMNS = 6
MOST = 24


def image_grid(images: np.ndarray, captions: Sequence[str], note: str = "") -> Figure:
    """Images `(N, H, W)` or `(N, H, W, C)` as bytes, at most `MOST` of them, in their order."""
    shown = min(len(images), MOST)
    columns = min(COLUMNS, max(shown, 1))
    rows = -(-max(shown, 1) // columns)
    figure = Figure(
        figsize=(1.55 * columns + 0.2, 1.85 * rows + 0.5), layout="constrained", facecolor="white"
    )
    for place, (image, text) in enumerate(zip(images[:shown], captions, strict=False)):
        ax = figure.add_subplot(rows, columns, place + 1)
        grey = image.ndim == 2 or image.shape[-1] == 1
        # Pixels as they are: smoothed, 8 x 8 of them would show what the model never saw.
        pixels = image.squeeze(-1) if image.ndim == 3 and grey else image
        ax.imshow(pixels, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest")
        ax.set_axis_off()
        lines = textwrap.wrap(text, 22)[:3]
        ax.set_title(literal("\n".join(lines)), fontsize=FONT["small"], color=INK)
    caption(figure, note)
    return figure
