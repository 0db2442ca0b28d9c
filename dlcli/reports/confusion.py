"""The confusion matrix of a classifier's predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from dlcli.reports.style import (
    FONT,
    GREY,
    GRID,
    INK,
    PALETTE,
    caption,
    describe,
    listed,
    literal,
    new_figure,
    shorten,
)

COUNTS_UP_TO = 30  # classes; above, a number would not fit into its cell
SHARES_UP_TO = 12
_BLUES = LinearSegmentedColormap.from_list("dlcli", ["#ffffff", "#9ecae1", PALETTE[0], "#08306b"])


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[str]) -> Figure:
    """Counts, and each true class's share in colour (and in figures where they fit).

    `y_true` and `y_pred` are class indices, shape `(N,)`; `classes` are the names.
    """
    from sklearn.metrics import confusion_matrix as count

    truth = np.asarray(y_true)
    counts = count(truth, np.asarray(y_pred), labels=range(len(classes)))
    rows = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(rows, 1)
    k = len(classes)
    size = float(np.clip(2.4 + 0.42 * k, 3.8, 9.5))
    figure, (ax,) = new_figure(width=size + 0.6, height=size + 0.3)
    ax.grid(False)
    # The square root of the share: one row in a hundred that went astray must be seen.
    image = ax.imshow(share, cmap=_BLUES, norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    accuracy = np.trace(counts) / max(1, counts.sum())
    describe(ax, f"{counts.sum():,} rows, accuracy {accuracy:.4g}", "predicted", "true")
    _class_ticks(ax, classes)
    if k <= COUNTS_UP_TO:
        _write_counts(ax, counts, share)
    else:
        bar = figure.colorbar(image, ax=ax, shrink=0.5, ticks=[0, 0.01, 0.1, 0.5, 1])
        bar.ax.tick_params(labelsize=FONT["small"])
        bar.set_label("share of the true class", fontsize=FONT["tick"])
    notes = []
    if k > SHARES_UP_TO:
        notes.append(_most_confused(counts, classes))
    absent = [name for name, row in zip(classes, rows[:, 0], strict=True) if row == 0]
    if absent:
        notes.append(f"Not in these rows: {listed(absent)}.")
    caption(figure, "\n".join(notes))
    return figure


def _class_ticks(ax: Axes, classes: Sequence[str]) -> None:
    step = -(-len(classes) // 50)
    places = range(0, len(classes), step)
    names = [literal(shorten(classes[place], 16)) for place in places]
    size = FONT["tick"] if len(classes) <= COUNTS_UP_TO else 6
    upright = max(map(len, names), default=0) * len(names) > 40
    ax.set_xticks(places, names, fontsize=size, rotation=90 if upright else 0)
    ax.set_yticks(places, names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set(visible=True, color=GREY)


def _write_counts(ax: Axes, counts: NDArray[np.integer], share: NDArray[np.floating]) -> None:
    k = len(counts)
    between = np.arange(k - 1) + 0.5
    ax.hlines(between, -0.5, k - 0.5, color=GRID, linewidth=0.6, in_layout=False)
    ax.vlines(between, -0.5, k - 0.5, color=GRID, linewidth=0.6, in_layout=False)
    size = 11 if k <= 4 else 9 if k <= SHARES_UP_TO else 6
    # Zeros are left out: the eye finds the errors, and most of the drawing time was theirs.
    for row, column in zip(*np.nonzero(counts), strict=True):
        text = f"{counts[row, column]}"
        if k <= SHARES_UP_TO:
            text += f"\n{share[row, column]:.0%}" if share[row, column] >= 0.005 else "\n<1%"
        cell = ax.text(column, row, text, ha="center", va="center", fontsize=size, linespacing=1.1)
        cell.set(color="white" if share[row, column] > 0.3 else INK, in_layout=False)


def _most_confused(counts: NDArray[np.integer], classes: Sequence[str]) -> str:
    errors = counts - np.diag(np.diag(counts))
    worst = [divmod(int(flat), len(classes)) for flat in np.argsort(-errors, axis=None, kind="stable")[:5]]
    pairs = [
        f"{shorten(classes[true])} taken for {shorten(classes[predicted])} ({errors[true, predicted]})"
        for true, predicted in worst
        if errors[true, predicted]
    ]
    return f"Most often: {'; '.join(pairs)}." if pairs else "No errors."
