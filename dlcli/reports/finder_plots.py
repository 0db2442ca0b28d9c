"""Plot of the values that a finder tried before training, and the value that it chose."""

from __future__ import annotations

from matplotlib.figure import Figure

from dlcli.reports.style import FONT, GREY, INK, TRAIN, caption, label_axes, new_figure
from dlcli.training.finders import FinderResult


def finder_curve(found: FinderResult) -> Figure:
    """Plot the measure over the tried values (logarithmic axis); a vertical line marks the chosen value."""
    figure, (ax,) = new_figure()
    label_axes(ax, f"{found.key}: tried values", found.key, found.measure)
    ax.plot(
        found.tried, found.measured, color=TRAIN, linewidth=1.8, marker="o" if len(found.tried) < 20 else ""
    )
    ax.axvline(found.value, color=GREY, linewidth=1, linestyle="--", zorder=1)
    ax.set_xscale("log")
    ax.annotate(
        f"{found.value:g}",
        (found.value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -12),
        textcoords="offset points",
        fontsize=FONT["tick"],
        color=INK,
    )
    caption(figure, f"Chosen: {found.value:g}: {found.reason}.")
    return figure
