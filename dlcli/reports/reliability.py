"""The reliability diagram: are rows that are held 80 % likely right in 80 % of cases?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dlcli.reports.style import FONT, GREY, PALETTE, caption, describe, literal, new_figure, shorten

# Equally wide, as in the metric calibration_error (Guo et al., "On Calibration of Modern Neural Networks", 2017).
BINS = 15


def reliability(hits: ArrayLike, probabilities: ArrayLike, of: str) -> Figure:
    """How often what was held so likely was true, in bins of equal width, with the calibration error.

    Args:
        hits: whether it was true, `(N,)`.
        probabilities: how likely it was held, `(N,)`.
        of: what "it" is, such as a class's name.
    """
    truth, held = np.asarray(hits, dtype=float), np.asarray(probabilities, dtype=float)
    finite = np.isfinite(held)
    truth, held = truth[finite], held[finite]
    index = np.minimum((held * BINS).astype(int), BINS - 1)
    rows = np.bincount(index, minlength=BINS)
    there = rows > 0
    confidence = np.bincount(index, held, BINS)[there] / rows[there]
    frequency = np.bincount(index, truth, BINS)[there] / rows[there]
    figure, (ax,) = new_figure(width=4.9, height=4.6)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal", anchor="W")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", zorder=1)
    describe(ax, literal(f"Reliability of {shorten(of, 30)}"), "probability given", "share that was true")
    if not len(held):
        ax.text(0.5, 0.5, "no finite probability", ha="center", va="center", color=GREY)
        return figure
    error = float((np.abs(confidence - frequency) * rows[there]).sum() / len(held))
    # A dot's area is its bin's share of the rows: a far-off bin with three rows is no finding.
    ax.vlines(confidence, confidence, frequency, color=GREY, linewidth=1, zorder=2)
    ax.scatter(confidence, frequency, s=12 + 280 * rows[there] / len(held), color=PALETTE[0], zorder=3)
    ax.text(0.02, 0.98, f"calibration error {error:.4f}", fontsize=FONT["label"], va="top")
    caption(figure, f"{len(held):,} cases in {BINS} bins; a dot's area is its share of them.")
    return figure
