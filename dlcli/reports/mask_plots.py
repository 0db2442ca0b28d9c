"""Plots of segmentation: IoU of each class, the confusion of pixels, and images with their masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dlcli.reports.style import (
    DPI,
    FONT,
    GREY,
    INK,
    PALETTE,
    caption,
    label_axes,
    literal,
    new_figure,
    shorten,
)
from dlcli.tasks.mask_files import class_colours, overlay

# Maximum number of images of a grid, each with its true and predicted masks.
MOST_MASKS = 6
_MOST_CLASSES = 40


def iou_of_classes(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Plot the intersection over union of each class, in descending order.

    Args:
        confusion: numbers of pixels `(C, C)`, with targets as rows.
        classes: names of the classes.
    """
    right = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
    known = np.flatnonzero(union > 0)
    iou = right[known] / union[known]
    order = np.argsort(-iou, kind="stable")[:_MOST_CLASSES]
    figure, (ax,) = new_figure(width=6.4, height=1.2 + 0.27 * max(3, len(order)))
    places = np.arange(len(order))
    ax.barh(places, iou[order], color=PALETTE[0], height=0.7)
    for place, value in enumerate(iou[order].tolist()):
        ax.text(value + 0.01, place, f"{value:.2f}", va="center", fontsize=FONT["small"], color=INK)
    ax.set_yticks(places, [literal(shorten(classes[known[row]])) for row in order])
    ax.set(xlim=(0, 1.08), ylim=(len(order) - 0.5, -0.5))
    mean = float(iou.mean()) if len(iou) else 0.0
    ax.axvline(mean, color=GREY, linewidth=1, linestyle=":")
    label_axes(ax, f"Intersection over union by class (mean {mean:.3f})", "IoU", "")
    lacking = len(classes) - len(known)
    caption(figure, f"{lacking} classes occur neither in masks nor in predictions." if lacking else "")
    return figure


def share_confusion(confusion: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Plot the share of the pixels (or words) of each true class by predicted class.

    Args:
        confusion: numbers of pixels `(C, C)`, with targets as rows.
        classes: names of the classes; of many, only the most frequent ones are drawn.
        title: title of the plot.
    """
    shown = np.sort(np.argsort(-confusion.sum(axis=1), kind="stable")[:_MOST_CLASSES])
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = shares[np.ix_(shown, shown)]
    side = 2.4 + 0.36 * len(shown)
    figure, (ax,) = new_figure(width=side + 0.6, height=side)
    ax.grid(False)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(shown) <= 20:
        for (row, column), value in np.ndenumerate(shares):
            if value >= 0.005:
                ink = "white" if value > 0.6 else INK
                ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=ink)
    names = [literal(shorten(classes[code], 14)) for code in shown]
    ax.set_xticks(range(len(shown)), names, rotation=90)
    ax.set_yticks(range(len(shown)), names)
    label_axes(ax, title, "predicted", "target")
    return figure


def mask_grid(
    images: np.ndarray,
    masks: np.ndarray,
    predicted: np.ndarray,
    captions: Sequence[str],
    classes: Sequence[str],
    note: str = "",
) -> Figure:
    """Plot images next to their true and predicted masks, a row for each image.

    Args:
        images: bytes `(N, H, W)` or `(N, H, W, 3)`.
        masks: codes `(N, H, W)`; pixels without a class show the image.
        predicted: predicted codes `(N, H, W)`.
        captions: a text for each image.
        classes: names of the classes.
        note: a sentence below the plot.
    """
    colours = class_colours(len(classes))
    rows, (high, wide) = len(images), images.shape[1:3]
    width = 7.2
    cell = width / 3
    figure = Figure(
        figsize=(width, rows * (cell * high / wide + 0.28) + 1.1),
        dpi=DPI,
        layout="constrained",
        facecolor="white",
    )
    axes = figure.subplots(rows, 3, squeeze=False)
    for row, line in enumerate(axes):
        pictures = (
            images[row],
            overlay(images[row], masks[row], colours),
            overlay(images[row], predicted[row], colours),
        )
        titles = (captions[row], "mask" if row == 0 else "", "predicted" if row == 0 else "")
        for ax, picture, title in zip(line, pictures, titles, strict=True):
            ax.imshow(
                picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest"
            )
            ax.set_axis_off()
            ax.set_title(literal(title), fontsize=FONT["small"], color=INK, loc="left")
    there = [code for code in range(len(classes)) if (masks == code).any() or (predicted == code).any()]
    patches = [
        Patch(color=colours[code] / 255, label=literal(shorten(classes[code], 16))) for code in there[:24]
    ]
    figure.legend(
        handles=patches,
        loc="outside lower left",
        ncols=6,
        fontsize=FONT["small"],
        frameon=False,
        title=literal(note),
        title_fontsize=FONT["tick"],
        alignment="left",
    )
    return figure
