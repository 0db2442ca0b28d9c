"""Plots of generated images: rows of images, strips by epoch, and the losses of parts that are trained in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlcli.reports.style import DPI, FONT, INK, PALETTE, caption, label_axes, literal, new_figure, shorten

_WIDTH = 7.2  # width of a figure, in inches
_LABEL = 1.0  # width of a line's name


def image_lines(images: np.ndarray, names: Sequence[str], note: str) -> Figure:
    """Plot images `(lines * columns, H, W)` or `(..., H, W, 3)`, bytes, in lines with names."""
    lines = len(names)
    columns = len(images) // lines
    strips = [np.concatenate(list(part), axis=1) for part in np.split(images, lines)]
    return _lines(list(zip(names, strips, strict=True)), columns, note)


def strips(by_epoch: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Plot a strip of images `(H, N * W)` or `(H, N * W, 3)`, bytes, for each of some epochs."""
    columns = max(1, by_epoch[0][1].shape[1] // by_epoch[0][1].shape[0])
    return _lines(by_epoch, columns, "From the same noise after each of these epochs.")


def _lines(named: Sequence[tuple[str, np.ndarray]], columns: int, note: str) -> Figure:
    high, wide = named[0][1].shape[:2]
    height = (_WIDTH - _LABEL) * high / wide
    figure = Figure(
        figsize=(_WIDTH, (height + 0.06) * len(named) + 0.7), dpi=DPI, layout="constrained", facecolor="white"
    )
    total = (height + 0.06) * len(named)
    ax = figure.add_subplot(aspect="equal", xlim=(0, _WIDTH), ylim=(total, 0))
    ax.set_axis_off()
    for line, (name, strip) in enumerate(named):
        top = line * (height + 0.06)
        grey = strip.ndim == 2
        ax.imshow(
            strip, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest",
            extent=(_LABEL, _WIDTH, top + height, top),
        )  # fmt: skip
        ax.text(
            _LABEL - 0.08, top + height / 2, literal(shorten(name, 12)), fontsize=FONT["small"], color=INK,
            ha="right", va="center",
        )  # fmt: skip
    ax.set(xlim=(0, _WIDTH), ylim=(total, 0))  # imshow has set them to the limits of its image
    caption(figure, note)
    return figure


def turn_curves(history: Mapping[str, Sequence[float]]) -> Figure | None:
    """Plot loss and gradient norm of each part that is trained in turns; None without such parts."""
    parts = [
        name.removeprefix("train/").removesuffix("_gradient_norm")
        for name in history
        if name.startswith("train/") and name.endswith("_gradient_norm")
    ]
    if not parts:
        return None
    figure, axes = new_figure(2, width=10.4, height=3.9)
    for ax, (what, title) in zip(
        axes, {"loss": "Loss", "gradient_norm": "Norm of the gradient"}.items(), strict=True
    ):
        label_axes(ax, title, "epoch", "")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for part, colour in zip(parts, PALETTE, strict=False):
            values = history[f"train/{part}_{what}"]
            marker = "o" if len(values) <= 15 else ""
            ax.plot(
                range(1, len(values) + 1), values, color=colour, marker=marker, markersize=3.5, label=part
            )
        ax.legend(fontsize=FONT["tick"], frameon=False)
    caption(
        figure,
        "Means over the training steps of each epoch. Neither loss measures the quality of the images.",
    )
    return figure
