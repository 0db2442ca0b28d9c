"""Plots of detection: precision over recall, precision by overlap, and images with their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

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
from dlcli.tasks.box_matching import OVERLAPS

# Maximum number of images in a grid.
MOST_IMAGES = 6
_MOST_CLASSES = 10
_FOUND, _MISSED, _WRONG = "#2a7f3f", "#f28e2b", "#d62728"


def recall_curves(
    curves: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    values: np.ndarray,
    counts: np.ndarray,
    classes: Sequence[str],
    threshold: float,
) -> Figure:
    """Plot precision over recall of each class, at an overlap of 0.5.

    Args:
        curves: precision, recall and score after each detection of each class, `(M,)` each.
        values: average precision of each class `(C,)`.
        counts: number of boxes of each class `(C,)`; classes without boxes are not drawn.
        classes: names of the classes; of many, only the most frequent ones are drawn.
        threshold: score at which a dot is drawn.
    """
    figure, (ax,) = new_figure(width=6.4, height=4.6)
    shown = [code for code in np.argsort(-counts, kind="stable")[:_MOST_CLASSES] if counts[code] > 0]
    for place, code in enumerate(shown):
        precision, recall, scores = curves[code]
        colour = PALETTE[place % len(PALETTE)]
        best = np.maximum.accumulate(precision[::-1])[::-1]
        label = f"{shorten(classes[code])} (AP {values[code]:.2f}, {int(counts[code]):,} boxes)"
        if len(best):
            recall, best = np.append(0, recall), np.append(best[0], best)
        ax.plot(recall, best, color=colour, label=literal(label))  # without detections, in the legend alone
        last = int((scores >= threshold).sum()) - 1
        if last >= 0:  # the curve has one more point, at a recall of 0
            ax.plot(recall[last + 1], precision[last], "o", color=colour, markersize=6)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(loc="lower left", fontsize=FONT["small"], frameon=False)
    mean = float(values[counts > 0].mean()) if (counts > 0).any() else float("nan")
    label_axes(ax, f"Precision over recall by class, IoU 0.5 (mean AP {mean:.3f})", "recall", "precision")
    left = int((counts > 0).sum()) - len(shown)
    more = f" {left} more classes are not drawn." if left else ""
    caption(figure, f"Dots: at the score threshold {threshold:.2f}.{more}")
    return figure


def precision_by_overlap(values: np.ndarray, counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Plot the average precision of each class over the IoU threshold of a correct detection.

    Args:
        values: average precision `(C, 10)`.
        counts: number of boxes of each class `(C,)`.
        classes: names of the classes.
    """
    figure, (ax,) = new_figure(width=6.4, height=3.8)
    shown = [code for code in np.argsort(-counts, kind="stable")[:_MOST_CLASSES] if counts[code] > 0]
    for place, code in enumerate(shown):
        label = f"{shorten(classes[code])} ({values[code].mean():.2f})"
        ax.plot(
            OVERLAPS,
            values[code],
            "o-",
            markersize=3,
            color=PALETTE[place % len(PALETTE)],
            label=literal(label),
        )
    if len(shown) > 1:
        ax.plot(OVERLAPS, values[counts > 0].mean(axis=0), color=GREY, linestyle=":", label="mean of classes")
    ax.set(ylim=(0, 1.02))
    ax.legend(fontsize=FONT["small"], frameon=False)
    label_axes(ax, "Average precision by least overlap", "overlap (IoU) of a correct detection", "AP")
    return figure


def box_grid(
    images: np.ndarray,
    boxes: np.ndarray,
    detections: np.ndarray,
    sure: np.ndarray,
    captions: Sequence[str],
    classes: Sequence[str],
    note: str = "",
) -> Figure:
    """Plot images with found boxes, missed boxes and wrong detections.

    Args:
        images: bytes `(N, H, W)` or `(N, H, W, 3)`.
        boxes: padded boxes `(N, T, 6)`.
        detections: `(N, D, 6)`.
        sure: mask of detections to show, `(N, D)`.
        captions: a text for each image.
        classes: names of the classes.
        note: a sentence below the plot.
    """
    columns = min(2, len(images))
    lines = -(-len(images) // columns)
    high, wide = images.shape[1:3]
    width = 7.2
    cell = width / columns
    figure = Figure(
        figsize=(width, lines * (cell * high / wide + 0.3) + 0.8),
        dpi=DPI,
        layout="constrained",
        facecolor="white",
    )
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for row, ax in zip(range(len(images)), axes, strict=False):
        ax.imshow(images[row], cmap="gray" if images.ndim == 3 else None, vmin=0, vmax=255)
        ax.set_title(literal(captions[row]), fontsize=FONT["small"], color=INK, loc="left")
        there = boxes[row][(boxes[row, :, 4] >= 0) & (boxes[row, :, 5] == 0)]
        own = detections[row][sure[row]]
        right, missed = _verdicts(own, there)
        for box, good in zip(own, right, strict=True):
            _draw(
                ax,
                box,
                (wide, high),
                _FOUND if good else _WRONG,
                f"{shorten(classes[int(box[5])], 10)} {box[4]:.2f}",
            )
        for box in there[missed]:
            _draw(ax, box, (wide, high), _MISSED, shorten(classes[int(box[4])], 10), dashed=True)
    handles = [
        Line2D([], [], color=_FOUND, label="found"),
        Line2D([], [], color=_WRONG, label="wrong"),
        Line2D([], [], color=_MISSED, linestyle="--", label="missed"),
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3, fontsize=FONT["small"], frameon=False,
        title=literal(note), title_fontsize=FONT["tick"], alignment="left",
    )  # fmt: skip
    return figure


def _verdicts(detections: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of correct detections at an overlap of 0.5, and of missed boxes."""
    right, missed = np.zeros(len(detections), bool), np.ones(len(boxes), bool)
    for place, own in enumerate(detections):
        if not len(boxes):
            break
        low, high = np.maximum(own[:2], boxes[:, :2]), np.minimum(own[2:4], boxes[:, 2:4])
        both = np.clip(high - low, 0, None).prod(axis=1)
        areas = (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1)
        iou = both / np.maximum((own[2:4] - own[:2]).prod() + areas - both, 1e-12)
        iou[(boxes[:, 4] != own[5]) | ~missed] = -1
        best = int(iou.argmax())
        if iou[best] >= OVERLAPS[0]:
            right[place], missed[best] = True, False
    return right, missed


def _draw(
    ax: object, box: np.ndarray, size: tuple[int, int], colour: str, text: str, dashed: bool = False
) -> None:
    wide, high = size
    left, top, right, bottom = box[:4] * [wide, high, wide, high]
    frame = Rectangle(
        (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.1,
        linestyle="--" if dashed else "-",
    )  # fmt: skip
    ax.add_patch(frame)  # type: ignore[attr-defined]
    ax.text(left + 1, top + 1, literal(text), fontsize=4.5, color=colour, va="top", clip_on=True)  # type: ignore[attr-defined]
