"""Plots of forecasts, with one panel per target. Values are in the units of the data; `targets` are the K names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcli.datasets.windows import Windows
from dlcli.reports.regression_plots import PANELS
from dlcli.reports.style import GREY, INK, PALETTE, caption, label_axes, listed, literal, new_figure, shorten

# Length of the plotted history before a forecast, as a multiple of the horizon.
_BEFORE = 2


def forecasts(
    y: Windows,
    predicted: np.ndarray,
    targets: Sequence[str],
    quantiles: tuple[np.ndarray, Sequence[float]] | None = None,
) -> Figure:
    """Plot the forecast of the middle row with the true values and some history.

    Args:
        y: the true values.
        predicted: the forecasts, `(N, horizon, K)`.
        targets: names of the targets.
        quantiles: the predicted quantiles `(N, horizon, K, Q)` and their Q levels, plotted as bands.
    """
    shown = min(len(targets), PANELS)
    figure, axes = new_figure(shown, width=6.4 if shown == 1 else 3.6 * shown, height=4.0)
    row = len(y) // 2
    origin = int(y.origins[row])
    first = max(int(y.stretches.begin(y.origins[[row]])[0]), origin - _BEFORE * y.horizon)
    # Both lines begin at the last known value.
    ahead = np.arange(max(origin - 1, 0), origin + y.horizon)
    for column, ax in enumerate(axes):
        values = y.values[:, column]
        drawn = np.concatenate([values[ahead[: len(ahead) - y.horizon]], predicted[row, :, column]])
        ax.plot(y.times[first:origin], values[first:origin], color=INK, linewidth=1)
        ax.plot(y.times[ahead], values[ahead], color=GREY, linewidth=1.5, label="truth")
        if quantiles is not None:
            _bands(ax, y.times[origin : origin + y.horizon], quantiles[0][row, :, column], quantiles[1])
        ax.plot(y.times[ahead], drawn, color=PALETTE[1], linewidth=1.5, label="forecast")
        label_axes(ax, literal(shorten(targets[column], 30)), "", "")
        for label in ax.get_xticklabels():
            label.set(rotation=30, ha="right")
    axes[0].legend(frameon=False, fontsize=8)
    others = f" Not shown: {listed(targets[shown:])}." if len(targets) > shown else ""
    series = f" of {shorten(str(y[[row]].series[0]))}" if y.stretches.names else ""
    caption(figure, f"Row {row + 1:,} of {len(y):,}{series}.{others}")
    return figure


def _bands(ax: Axes, times: np.ndarray, values: np.ndarray, levels: Sequence[float]) -> None:
    """Plot pairs of quantiles `(horizon, Q)` as bands, the outermost first and lightest."""
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        label = f"q{levels[low]:g} to q{levels[high]:g}"
        ax.fill_between(
            times, values[:, low], values[:, high], color=PALETTE[1], alpha=0.2, linewidth=0, label=label
        )


def error_by_step(error: np.ndarray, targets: Sequence[str]) -> Figure:
    """Plot the mean absolute error by forecast step; error is `(horizon, K)`, in standard deviations of each target."""
    figure, (ax,) = new_figure()
    steps = np.arange(1, len(error) + 1)
    if len(targets) <= len(PALETTE):
        for column, name in enumerate(targets):
            ax.plot(
                steps, error[:, column], color=PALETTE[column], linewidth=1.2, label=literal(shorten(name))
            )
    if len(targets) > 1:
        ax.plot(steps, error.mean(axis=1), color=INK, linewidth=2, label="mean")
        ax.legend(frameon=False, fontsize=8)
    ax.set_ylim(bottom=0)
    label_axes(
        ax, "Error by step", "steps ahead", "mean absolute error, in standard deviations of the target"
    )
    return figure
