"""Plots of tags: F1 of the types of entities, precision and recall."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dlcli.reports.style import FONT, INK, PALETTE, caption, label_axes, literal, new_figure, shorten

_MOST = 40


def f1_of_types(table: pd.DataFrame) -> Figure:
    """Plot F1, precision and recall of each type, given the table of `Tag.breakdown`."""
    shown = table.head(_MOST)
    figure, (ax,) = new_figure(width=6.4, height=1.4 + 0.3 * max(3, len(shown)))
    places = np.arange(len(shown))
    values = shown["f1"].to_numpy()
    ax.barh(places, values, color=PALETTE[0], height=0.7, label="F1")
    ax.plot(shown["precision"], places, "o", color=PALETTE[1], markersize=4, label="precision")
    ax.plot(shown["recall"], places, "s", color=PALETTE[2], markersize=4, label="recall")
    for place, value in enumerate(values.tolist()):
        ax.text(1.02, place, f"{value:.2f}", va="center", fontsize=FONT["small"], color=INK)
    names = [
        literal(f"{shorten(name)} ({number:,})")
        for name, number in shown[["class", "entities"]].itertuples(index=False)
    ]
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 1.1), ylim=(len(shown) - 0.5, -0.5))
    label_axes(ax, "Entities by type", "F1, precision, recall", "")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=FONT["small"])
    left_out = len(table) - len(shown)
    caption(
        figure, f"{left_out} rarer types are not shown." if left_out else "In brackets: number of entities."
    )
    return figure
