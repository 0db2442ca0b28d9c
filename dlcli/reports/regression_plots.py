"""Plots of regression results: predicted over actual values, residuals and prediction intervals.

`y_true` and `y_pred` have shape `(N, K)`, in the units of the data; `targets` are the K names. Each target has a panel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

PANELS = 4  # maximum number of targets that are plotted
POINTS = 5_000  # maximum number of points: more are slow to draw and cover each other
INTERVALS = 150  # maximum number of intervals: each has to be visible


def predicted_vs_actual(y_true: np.ndarray, y_pred: np.ndarray, targets: Sequence[str]) -> Figure:
    """Plot predictions over actual values; perfect predictions lie on the diagonal."""

    def draw(ax: Axes, actual: np.ndarray, predicted: np.ndarray, target: str) -> None:
        low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
        ax.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=":", zorder=1)
        _dots(ax, actual, predicted)
        label_axes(ax, _title(target), "actual", "predicted")

    return _panels(y_true, y_pred, targets, draw)


def residuals(y_true: np.ndarray, y_pred: np.ndarray, targets: Sequence[str]) -> Figure:
    """Plot the residuals (actual minus predicted) over predictions, with their mean and standard deviation."""

    def draw(ax: Axes, actual: np.ndarray, predicted: np.ndarray, target: str) -> None:
        residual = actual - predicted
        ax.axhline(0, color=GREY, linewidth=1, linestyle=":", zorder=1)
        mean, spread = residual.mean(), residual.std()
        ax.axhspan(mean - spread, mean + spread, color=PALETTE[0], alpha=0.08, zorder=0)
        ax.axhline(mean, color=INK, linewidth=1, zorder=1)
        _dots(ax, predicted, residual)
        label_axes(ax, f"{_title(target)}: {mean:.3g} ± {spread:.3g}", "predicted", "actual - predicted")

    return _panels(y_true, y_pred, targets, draw)


def intervals(
    y_true: np.ndarray, quantiles: np.ndarray, targets: Sequence[str], levels: Sequence[float]
) -> Figure:
    """Plot each row's interval from the lowest to the highest quantile, with the actual value; sorted by median.

    Args:
        y_true: Actual values, `(N, K)`.
        quantiles: Predicted quantiles, `(N, K, Q)`.
        targets: Names of the targets.
        levels: The Q levels of the quantiles, ascending and with 0.5.
    """
    inside = (quantiles[..., 0] <= y_true) & (y_true <= quantiles[..., -1])
    shares = dict(zip(targets, inside.mean(axis=0), strict=True))
    expected, between = levels[-1] - levels[0], f"q{levels[0]:g} to q{levels[-1]:g}"

    def draw(ax: Axes, actual: np.ndarray, predicted: np.ndarray, target: str) -> None:
        order = np.argsort(predicted[:, levels.index(0.5)], kind="stable")
        actual, predicted = actual[order], predicted[order]
        low, high = predicted[:, 0], predicted[:, -1]
        places = np.arange(len(actual))
        out = (actual < low) | (actual > high)
        ax.vlines(places, low, high, color=GRID, linewidth=max(1.0, 250 / len(places)), zorder=1)
        ax.plot(places, predicted[:, levels.index(0.5)], "_", color=GREY, markersize=4, label="median")
        ax.plot(places[~out], actual[~out], "o", color=PALETTE[0], markersize=3, label="actual, inside")
        ax.plot(places[out], actual[out], "o", color=PALETTE[1], markersize=3, label="actual, outside")
        title = f"{_title(target)}: {shares[target]:.3g} inside, {expected:.3g} expected"
        label_axes(ax, title, "rows, sorted by median", f"{between}, and actual")

    figure = _panels(y_true, quantiles, targets, draw, INTERVALS)
    figure.axes[0].legend(frameon=False, fontsize=FONT["small"])
    return figure


def _panels(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    targets: Sequence[str],
    draw: Callable[[Axes, np.ndarray, np.ndarray, str], None],
    points: int = POINTS,
) -> Figure:
    shown = min(len(targets), PANELS)
    figure, axes = new_figure(shown, width=4.9 if shown == 1 else 3.6 * shown, height=4.4)
    notes = []
    finite = np.isfinite(y_true).all(axis=1) & np.isfinite(y_pred.reshape(len(y_pred), -1)).all(axis=1)
    if not finite.all():
        notes.append(f"{(~finite).sum():,} of {len(finite):,} rows have non-finite values and are excluded.")
    rows = np.flatnonzero(finite)
    if len(rows) > points:
        rows = rows[np.linspace(0, len(rows) - 1, points).astype(int)]
        notes.append(f"{points:,} of {finite.sum():,} rows are plotted.")
    if len(targets) > shown:
        notes.append(f"Not shown: {listed(targets[shown:])}.")
    for column, ax in enumerate(axes):
        if len(rows):
            draw(ax, y_true[rows, column], y_pred[rows, column], targets[column])
    caption(figure, "\n".join(notes))
    return figure


def _title(target: str) -> str:
    return literal(shorten(target, 30))


def _dots(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    many = len(x) > 500
    ax.plot(x, y, "o", color=PALETTE[0], markersize=3 if many else 5, alpha=0.3 if many else 0.6, mew=0)
