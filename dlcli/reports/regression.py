"""Pictures of predicted numbers: against the actual ones, and what is left over.

`y_true` and `y_pred` have shape `(N, K)`, in the user's unit; `targets` are the K names. A panel a target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcli.reports.style import GREY, INK, PALETTE, caption, describe, listed, literal, new_figure, shorten

PANELS = 4  # side by side; of more targets the first few
POINTS = 5_000  # drawn; all of them would be a blot, and slow


def predicted_vs_actual(y_true: np.ndarray, y_pred: np.ndarray, targets: Sequence[str]) -> Figure:
    """Predictions over actual values; perfect ones lie on the diagonal."""

    def draw(ax: Axes, actual: np.ndarray, predicted: np.ndarray, name: str) -> None:
        low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
        ax.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=":", zorder=1)
        _dots(ax, actual, predicted)
        describe(ax, name, "actual", "predicted")

    return _panels(y_true, y_pred, targets, draw)


def residuals(y_true: np.ndarray, y_pred: np.ndarray, targets: Sequence[str]) -> Figure:
    """Actual minus predicted, over predicted: a good model leaves a level band without a shape."""

    def draw(ax: Axes, actual: np.ndarray, predicted: np.ndarray, name: str) -> None:
        left = actual - predicted
        ax.axhline(0, color=GREY, linewidth=1, linestyle=":", zorder=1)
        mean, spread = left.mean(), left.std()
        ax.axhspan(mean - spread, mean + spread, color=PALETTE[0], alpha=0.08, zorder=0)
        ax.axhline(mean, color=INK, linewidth=1, zorder=1)
        _dots(ax, predicted, left)
        describe(ax, f"{name}: {mean:.3g} ± {spread:.3g}", "predicted", "actual - predicted")

    return _panels(y_true, y_pred, targets, draw)


def _panels(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    targets: Sequence[str],
    draw: Callable[[Axes, np.ndarray, np.ndarray, str], None],
) -> Figure:
    shown = min(len(targets), PANELS)
    figure, axes = new_figure(shown, width=4.9 if shown == 1 else 3.6 * shown, height=4.4)
    notes = []
    finite = np.isfinite(y_true).all(axis=1) & np.isfinite(y_pred).all(axis=1)
    if not finite.all():
        notes.append(f"{(~finite).sum():,} of {len(finite):,} rows are no finite numbers and are left out.")
    rows = np.flatnonzero(finite)
    if len(rows) > POINTS:
        rows = rows[np.linspace(0, len(rows) - 1, POINTS).astype(int)]
        notes.append(f"{POINTS:,} of {finite.sum():,} rows are drawn.")
    if len(targets) > shown:
        notes.append(f"Not shown: {listed(targets[shown:])}.")
    for column, ax in enumerate(axes):
        if len(rows):
            name = literal(shorten(targets[column], 30))
            draw(ax, y_true[rows, column], y_pred[rows, column], name)
    caption(figure, "\n".join(notes))
    return figure


def _dots(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    many = len(x) > 500
    ax.plot(x, y, "o", color=PALETTE[0], markersize=3 if many else 5, alpha=0.3 if many else 0.6, mew=0)
