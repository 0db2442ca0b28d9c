"""Plots of a classifier's predictions: confusion matrix, ROC, precision-recall and reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix as count_pairs
from sklearn.metrics import precision_recall_curve, roc_curve

from dlcli.reports.style import (
    FONT,
    GREY,
    GRID,
    INK,
    PALETTE,
    caption,
    label_axes,
    listed,
    literal,
    new_figure,
    shorten,
)

# Functions import scikit-learn late, because it takes a second and only plots need it.
__all__ = ["confusion_matrix", "precision_recall", "reliability", "roc"]

# Maximum number of classes with a colored curve each; with more classes only the EXTREMES best and worst are colored.
COLOURED_UP_TO = 12
EXTREMES = 3
# Maximum points per curve, about the resolution of the plot. Drawing 5,000 points for ten classes takes over a second.
POINTS = 300
_GRID = np.linspace(0, 1, 501)

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class _Curve:
    name: str
    x: Floats
    y: Floats
    area: float


def roc(y_true: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> Figure:
    """Plot ROC curves with their AUC.

    Args:
        y_true: Class indices `(N,)`, or labels `(N, C)` of 0 and 1.
        probabilities: Probabilities `(N, C)`; for two classes also `(N,)`, those of the second class.
        classes: Names of the classes or labels.
    """
    one_vs_rest, notes = _one_vs_rest(y_true, probabilities, classes)
    curves = []
    for name, positive, score in one_vs_rest:
        fpr, tpr, _ = roc_curve(positive, score)
        curves.append(_Curve(name, fpr, tpr, float(np.trapezoid(tpr, fpr))))
    macro = np.mean([np.interp(_GRID, c.x, c.y) for c in curves], axis=0) if curves else _GRID
    # Interpolation at x = 0 gives the curve's highest value there. The plot starts at the origin.
    figure, ax = _draw(curves, (np.append(0, _GRID), np.append(0, macro)), "AUC", notes, "default")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", zorder=1)
    label_axes(ax, _title("ROC", y_true, classes), "false positive rate", "true positive rate")
    return figure


def precision_recall(y_true: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> Figure:
    """Plot precision-recall curves with their average precision (AP).

    Args:
        y_true: Class indices `(N,)`, or labels `(N, C)` of 0 and 1.
        probabilities: Probabilities `(N, C)`; for two classes also `(N,)`, those of the second class.
        classes: Names of the classes or labels.
    """
    one_vs_rest, notes = _one_vs_rest(y_true, probabilities, classes)
    curves = []
    for name, positive, score in one_vs_rest:
        precision, recall, _ = precision_recall_curve(positive, score)
        area = -float(
            np.sum(np.diff(recall) * precision[:-1])
        )  # equals scikit-learn's average_precision_score
        curves.append(_Curve(name, recall[::-1], precision[::-1], area))
    # Precision must not be interpolated linearly (Davis and Goadrich, "The Relationship Between Precision-Recall and
    # ROC Curves", 2006). The precision at a recall is that of the first threshold that reaches the recall.
    macro = np.mean([c.y[np.searchsorted(c.x, _GRID)] for c in curves], axis=0) if curves else _GRID
    figure, ax = _draw(curves, (_GRID, macro), "AP", notes, "steps-pre")
    label_axes(ax, _title("Precision-recall", y_true, classes), "recall", "precision")
    return figure


def _one_vs_rest(
    y_true: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]
) -> tuple[list[tuple[str, NDArray[np.bool_], Floats]], str]:
    """Return name, positives and scores of each class that has a curve, and notes about the other classes and rows."""
    truth, scores = np.asarray(y_true), np.asarray(probabilities, dtype=float)
    if scores.ndim == 1:
        scores = np.column_stack([1 - scores, scores])
    notes = []
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        notes.append(
            f"{(~finite).sum():,} of {len(finite):,} rows have no finite probability and are excluded."
        )
        truth, scores = truth[finite], scores[finite]
    hits = truth == 1 if truth.ndim == 2 else truth[:, None] == np.arange(len(classes))
    wanted = [1] if len(classes) == 2 and truth.ndim == 1 else range(len(classes))
    chosen = []
    for index in wanted:
        positive = hits[:, index]
        if 0 < positive.sum() < len(truth):
            chosen.append((classes[index], positive, scores[:, index]))
    absent = [name for name, positive in zip(classes, hits.T, strict=True) if not positive.any()]
    if absent:
        notes.append(f"Not in these rows: {listed(absent)}.")
    return chosen, "\n".join(notes)


def _draw(
    curves: Sequence[_Curve], macro: tuple[Floats, Floats], measure: str, notes: str, drawstyle: str
) -> tuple[Figure, Axes]:
    figure, (ax,) = new_figure(width=4.9 if len(curves) < 2 else 6.7, height=4.6)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal", anchor="W")
    caption(figure, notes)
    if not curves:
        ax.text(0.5, 0.5, "these rows have one class only:\nno curve", ha="center", va="center", color=GREY)
        return figure, ax
    ranked = sorted(curves, key=lambda curve: -curve.area)
    few = len(curves) <= COLOURED_UP_TO
    shown = list(curves) if few else ranked[:EXTREMES] + ranked[-EXTREMES:]
    for index, curve in enumerate(shown):
        x, y = thin_curve(curve.x, curve.y)
        ax.plot(
            x,
            y,
            color=PALETTE[index % len(PALETTE)],
            linestyle="-" if index < len(PALETTE) else (0, (4, 1.5)),
            linewidth=1.6,
            drawstyle=drawstyle,
            label=_label(curve, measure, single=len(curves) == 1),
        )
    if not few:
        others = [np.column_stack(thin_curve(c.x, c.y)) for c in ranked[EXTREMES:-EXTREMES]]
        label = f"{len(others)} classes between"
        ax.add_collection(
            LineCollection(others, colors=GREY, linewidths=0.6, alpha=0.4, label=label, zorder=1)
        )
    if len(curves) > 1:
        mean = np.mean([curve.area for curve in curves])
        ax.plot(*macro, color=INK, linewidth=2.2, drawstyle=drawstyle, label=f"{mean:.4f}  macro mean")
        ax.legend(
            title=f"{measure}, class" if few else f"{measure}, best and worst {EXTREMES}",
            title_fontsize=FONT["tick"],
            fontsize=FONT["small"],
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            frameon=False,
        )
    else:
        ax.legend(fontsize=FONT["label"], loc="lower right", frameon=False)
    return figure, ax


def _label(curve: _Curve, measure: str, single: bool) -> str:
    # The number comes first, because matplotlib omits labels that begin with "_" from the legend.
    return f"{measure} {curve.area:.4f}" if single else f"{curve.area:.4f}  {literal(shorten(curve.name))}"


def _title(kind: str, y_true: ArrayLike, classes: Sequence[str]) -> str:
    if np.ndim(y_true) == 2:
        return f"{kind} of each label"
    if len(classes) == 2:
        return literal(f"{kind} of {shorten(classes[1], 30)}")
    return f"{kind}, each class against the rest"


def thin_curve(x: Floats, y: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Select at most `points` + 1 points of a curve, evenly spaced along its length, including both ends."""
    if len(x) <= points:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points - 1)))
    kept = np.union1d(kept, [0, len(x) - 1])
    return x[kept], y[kept]


# Maximum number of classes for which counts, and counts with percentages, fit into the cells.
COUNTS_UP_TO = 30
SHARES_UP_TO = 12
_BLUES = LinearSegmentedColormap.from_list("dlcli", ["#ffffff", "#9ecae1", PALETTE[0], "#08306b"])


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[str]) -> Figure:
    """Plot the confusion matrix: counts, with the share of the true class as color (and as a percentage if it fits).

    Args:
        y_true: Class indices `(N,)`.
        y_pred: Predicted class indices `(N,)`.
        classes: Names of the classes.
    """
    truth = np.asarray(y_true)
    counts = count_pairs(truth, np.asarray(y_pred), labels=range(len(classes)))
    rows = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(rows, 1)
    k = len(classes)
    size = float(np.clip(2.4 + 0.42 * k, 3.8, 9.5))
    figure, (ax,) = new_figure(width=size + 0.6, height=size + 0.3)
    ax.grid(False)
    # The color scale is the square root of the share, so that an error of one row in a hundred is visible.
    image = ax.imshow(share, cmap=_BLUES, norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    accuracy = np.trace(counts) / max(1, counts.sum())
    label_axes(ax, f"{counts.sum():,} rows, accuracy {accuracy:.4g}", "predicted", "true")
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
    # Zeros are omitted: the errors are easier to see, and drawing zeros would take most of the time.
    for row, column in zip(*np.nonzero(counts), strict=True):
        text = f"{counts[row, column]:,}"
        if k <= SHARES_UP_TO:
            text += f"\n{share[row, column]:.0%}" if share[row, column] >= 0.005 else "\n<1%"
        cell = ax.text(column, row, text, ha="center", va="center", fontsize=size, linespacing=1.1)
        cell.set(color="white" if share[row, column] > 0.3 else INK, in_layout=False)


def _most_confused(counts: NDArray[np.integer], classes: Sequence[str]) -> str:
    errors = counts - np.diag(np.diag(counts))
    worst = [divmod(int(flat), len(classes)) for flat in np.argsort(-errors, axis=None, kind="stable")[:5]]
    pairs = [
        f"{shorten(classes[true])} predicted as {shorten(classes[predicted])} ({errors[true, predicted]:,})"
        for true, predicted in worst
        if errors[true, predicted]
    ]
    return f"Most frequent errors: {'; '.join(pairs)}." if pairs else "No errors."


# Bins of equal width, as in calibration_error (Guo et al., "On Calibration of Modern Neural Networks", 2017).
BINS = 15


def reliability(hits: ArrayLike, probabilities: ArrayLike, of: str) -> Figure:
    """Plot a reliability diagram: observed frequency over predicted probability, with the calibration error.

    Args:
        hits: Whether the event occurred, `(N,)`.
        probabilities: Predicted probabilities of the event, `(N,)`.
        of: Name of the event, such as the name of a class.
    """
    truth, predicted = np.asarray(hits, dtype=float), np.asarray(probabilities, dtype=float)
    finite = np.isfinite(predicted)
    truth, predicted = truth[finite], predicted[finite]
    index = np.minimum((predicted * BINS).astype(int), BINS - 1)
    rows = np.bincount(index, minlength=BINS)
    filled = rows > 0
    confidence = np.bincount(index, predicted, BINS)[filled] / rows[filled]
    frequency = np.bincount(index, truth, BINS)[filled] / rows[filled]
    figure, (ax,) = new_figure(width=4.9, height=4.6)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal", anchor="W")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", zorder=1)
    label_axes(
        ax, literal(f"Reliability of {shorten(of, 30)}"), "predicted probability", "observed frequency"
    )
    if not len(predicted):
        ax.text(0.5, 0.5, "no finite probability", ha="center", va="center", color=GREY)
        return figure
    share = rows[filled] / len(predicted)
    error = float((np.abs(confidence - frequency) * share).sum())
    # The area of a dot shows its bin's share of the rows, because bins with few rows are unreliable.
    ax.vlines(confidence, confidence, frequency, color=GREY, linewidth=1, zorder=2)
    ax.scatter(confidence, frequency, s=12 + 280 * share, color=PALETTE[0], zorder=3)
    ax.text(0.02, 0.98, f"calibration error {error:.4f}", fontsize=FONT["label"], va="top")
    caption(
        figure, f"{len(predicted):,} cases in {BINS} bins; the area of a dot is the bin's share of the cases."
    )
    return figure
