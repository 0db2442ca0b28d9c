"""Plots of forecasts, with one panel per target. Values are in the units of the data; `targets` are the K names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcli.datasets.windows import Windows
from dlcli.reports.regression_plots import PANELS
from dlcli.reports.style import (
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

# Length of the plotted history before a forecast, as a multiple of the horizon.
_BEFORE = 2

# Most steps of forecasts that follow each other in one plot, and the number of forecasts that are plotted in any case.
_STEPS, _FORECASTS = 240, 6


def forecasts(
    y: Windows,
    predicted: np.ndarray,
    targets: Sequence[str],
    quantiles: tuple[np.ndarray, Sequence[float]] | None = None,
    *,
    rolling: bool = False,
) -> Figure:
    """Plot the forecast of the middle row with the true values and some history.

    Args:
        y: the true values.
        predicted: the forecasts, `(N, horizon, K)`.
        targets: names of the targets.
        quantiles: the predicted quantiles `(N, horizon, K, Q)` and their Q levels, plotted as bands.
        rolling: plot the forecasts of the row's series that do not overlap, as `following_rows` selects them.
    """
    shown = min(len(targets), PANELS)
    width = 6.4 if shown == 1 else 3.6 * shown
    figure, axes = new_figure(shown, width=width * (1.25 if rolling and shown == 1 else 1), height=4.0)
    row = len(y) // 2
    rows, number = following_rows(y, row) if rolling else (np.array([row]), 1)
    for column, ax in enumerate(axes):
        bands = (quantiles[0][..., column, :], quantiles[1]) if quantiles is not None else None
        _draw(ax, y, rows, predicted[..., column], column, bands)
        label_axes(ax, literal(shorten(targets[column], 30)), "", "")
        for label in ax.get_xticklabels():
            label.set(rotation=30, ha="right")
        if rolling:
            ax.grid(visible=False, axis="x")  # its lines would look like those of the first steps
    axes[0].legend(frameon=False, fontsize=8)
    others = f" Not shown: {listed(targets[shown:])}." if len(targets) > shown else ""
    series = f" of {shorten(str(y[[row]].series[0]))}" if y.stretches.names else ""
    said = f"Row {row + 1:,} of {len(y):,}{series}."
    if rolling:
        which = f"The {len(rows):,}" if len(rows) == number else f"The middle {len(rows):,} of {number:,}"
        said = f"{which} forecasts{series} that do not overlap, of {len(y):,}"
        said += "; lines mark the first step of each." if y.horizon > 1 else "."
    caption(figure, f"{said}{others}")
    return figure


def following_rows(y: Windows, row: int) -> tuple[np.ndarray, int]:
    """Return rows of one series whose forecasts follow each other without overlap, and how many there are of them.

    They are selected from the first row of the series of `row` on; if they are many, those around `row` are returned.
    """
    stretch = y.stretches.of(y.origins)
    rows = np.flatnonzero(stretch == stretch[row])
    rows = rows[np.argsort(y.origins[rows], kind="stable")]
    found = [int(rows[0])]
    for one in rows[1:].tolist():
        if y.origins[one] >= y.origins[found[-1]] + y.horizon:
            found.append(one)
    most = max(_FORECASTS, _STEPS // y.horizon)
    nearest = int(np.searchsorted(y.origins[found], y.origins[row], side="right")) - 1
    first = max(0, min(nearest - most // 2, len(found) - most))
    return np.array(found[first : first + most]), len(found)


def _draw(
    ax: Axes,
    y: Windows,
    rows: np.ndarray,
    predicted: np.ndarray,
    column: int,
    quantiles: tuple[np.ndarray, Sequence[float]] | None,
) -> None:
    """Plot one target's forecasts `(N, horizon)` of some rows in the order of time, and the true values around them."""
    values, origins = y.values[:, column], y.origins[rows]
    first = max(int(y.stretches.begin(origins[:1])[0]), int(origins[0]) - _BEFORE * y.horizon)
    known, end = slice(first, origins[0]), int(origins[-1]) + y.horizon
    ax.plot(y.times[known], values[known], color=INK, linewidth=1)
    ahead = slice(max(int(origins[0]) - 1, 0), end)
    ax.plot(y.times[ahead], values[ahead], color=GREY, linewidth=1.5, label="truth")
    for number, (row, origin) in enumerate(zip(rows.tolist(), origins.tolist(), strict=True)):
        if quantiles is not None:
            times = y.times[origin : origin + y.horizon]
            _bands(ax, times, quantiles[0][row], quantiles[1], is_labelled=number == 0)
        if len(rows) > 1 and y.horizon > 1:
            ax.axvline(y.times[origin], color=GRID, linewidth=0.8, zorder=0)
        # A line begins at the last known value.
        steps = np.arange(max(origin - 1, 0), origin + y.horizon)
        drawn = np.concatenate([values[steps[: len(steps) - y.horizon]], predicted[row]])
        label = "forecast" if number == 0 else None
        ax.plot(y.times[steps], drawn, color=PALETTE[1], linewidth=1.5, label=label)


def _bands(
    ax: Axes, times: np.ndarray, values: np.ndarray, levels: Sequence[float], *, is_labelled: bool = True
) -> None:
    """Plot pairs of quantiles `(horizon, Q)` as bands, the outermost first and lightest."""
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        label = f"q{levels[low]:g} to q{levels[high]:g}" if is_labelled else None
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
