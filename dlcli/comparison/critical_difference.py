"""The critical-difference diagram of several models (Demsar, 2006, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from dlcli.reports.style import FONT, GREY, INK, PALETTE, caption, literal, new_figure, shorten
from dlcli.statistics.mean_ranks import Ranking


def critical_difference(names: Sequence[str], ranking: Ranking, metric: str) -> Figure:
    """Plot the mean ranks of models, the best on top; bars connect models that are not significantly different."""
    order = sorted(range(len(names)), key=lambda index: ranking.ranks[index])
    figure, (ax,) = new_figure(width=7.0, height=1.6 + 0.36 * len(names))
    ax.grid(axis="y", visible=False)
    ax.set_yticks(range(len(order)), [literal(shorten(names[index], 32)) for index in order])
    ax.set_ylim(len(order) - 0.5, -1.0 - 0.25 * len(order))
    ax.set_xlim(0.9, len(names) + 0.1)
    ax.set_xlabel(f"mean rank by {literal(metric)} (1 is the best)", fontsize=FONT["label"], color=INK)
    ranks = [ranking.ranks[index] for index in order]
    ax.plot(ranks, range(len(order)), "o", color=PALETTE[0], markersize=8)
    for place, (first, last) in enumerate(alike(ranks, ranking.critical_difference)):
        height = -0.5 - 0.25 * place
        ax.plot([ranks[first], ranks[last]], [height, height], color=INK, linewidth=3, solid_capstyle="butt")
    for place, rank in enumerate(ranks):
        ax.plot([rank, rank], [-0.5, place], color=GREY, linewidth=0.6, zorder=0)
    difference = ranking.critical_difference
    caption(
        figure,
        f"Friedman test p = {ranking.p:.2g}. Bars join models whose mean ranks differ by less than {difference:.2f} "
        "(Nemenyi, 5 %): these are not significantly different.",
    )
    return figure


def alike(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the maximal groups of sorted ranks that differ by less than `difference`, as pairs (first, last)."""
    groups: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(index for index in range(first, len(ranks)) if ranks[index] - ranks[first] < difference)
        if last > first and not any(last <= other for _, other in groups):
            groups.append((first, last))
    return groups
