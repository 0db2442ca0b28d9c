"""Plot what the callback `WatchGradients` records of each layer: the norm of its gradient and its idle units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlcli.reports.style import FONT, caption, label_axes, literal, new_figure
from dlcli.training.watch_gradients import GRADIENT_NORM, IDLE_UNITS

_LEGEND = 8  # layers in a legend; of more, the first and the last ones are named

Curves = Mapping[str, Sequence[tuple[int, float]]]


def gradient_curves(history: Curves) -> Figure | None:
    """Plot the norms of the gradients over epochs, and the shares of idle units; None if they are not recorded.

    Args:
        history: Name of a metric to (epoch, value) pairs, epochs from 0.
    """
    norms, idle = _of(history, GRADIENT_NORM), _of(history, IDLE_UNITS)
    if not norms:
        return None
    figure, axes = new_figure(2 if idle else 1, width=10.4 if idle else 6.4, height=3.9)
    label_axes(axes[0], "norm of the gradient, by layer", "epoch", "")
    _draw(axes[0], norms)
    positive = [value for points in norms.values() for _, value in points if value > 0]
    if positive and max(positive) > 10 * min(positive):
        axes[0].set_yscale("log")
    if idle:
        label_axes(axes[1], "share of idle units, by layer", "epoch", "")
        _draw(axes[1], idle)
        axes[1].set_ylim(-0.02, 1.02)
    first, *_, last = [*norms, *norms]
    ends = [norms[name][-1][1] for name in (first, last)]
    if len(norms) > 1 and all(math.isfinite(end) and end > 0 for end in ends):
        caption(
            figure,
            f"In the last epoch, the gradient of the first layer ({first}) is {ends[0] / ends[1]:.2g} times that "
            f"of the last one ({last}).",
        )
    return figure


def _of(history: Curves, prefix: str) -> dict[str, Sequence[tuple[int, float]]]:
    return {
        name.removeprefix(f"{prefix}/"): points
        for name, points in history.items()
        if name.startswith(f"{prefix}/")
    }


def _draw(ax: Axes, curves: Curves) -> None:
    """Draw one line per layer, from dark (near the input) to light (near the output)."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    colours = colormaps["viridis"]
    for number, (name, points) in enumerate(curves.items()):
        finite = [(epoch + 1, value) for epoch, value in points if math.isfinite(value)]
        named = len(curves) <= _LEGEND or number in (0, len(curves) - 1)
        ax.plot(
            [epoch for epoch, _ in finite],
            [value for _, value in finite],
            color=colours(0.9 * number / max(1, len(curves) - 1)),
            linewidth=1.6,
            marker="o" if len(finite) <= 15 else "",
            markersize=3.5,
            label=literal(name) if named else None,
        )
    ax.legend(fontsize=FONT["tick"], frameon=False)
