"""Plots of language models: bits per character along a text, and their distribution over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dlcli.reports.style import GREY, INK, PALETTE, caption, label_axes, new_figure

# Points of a curve along a text.
_POINTS = 200


def bits_along_the_text(bits: np.ndarray, rows: Any) -> Figure:
    """Plot the bits per character along a text, as means of consecutive blocks.

    Args:
        bits: bits per character of each block `(N,)`.
        rows: the blocks, `dlcli.datasets.passages.Passages`.
    """
    order = np.argsort(rows.starts, kind="stable")
    parts = np.array_split(order, min(_POINTS, max(1, len(order))))
    places = [float(rows.starts[part].mean()) for part in parts]
    means = [float(bits[part].mean()) for part in parts]
    figure, (ax,) = new_figure(width=7.2, height=3.2)
    ax.plot(places, means, color=PALETTE[0], linewidth=1.2)
    ax.axhline(float(bits.mean()), color=GREY, linewidth=1, linestyle=":")
    label_axes(ax, f"Bits per character along the text (mean {bits.mean():.3f})", "character", "bits")
    each = -(-len(order) // len(parts))
    caption(figure, f"Each point is the mean of {each:,} consecutive blocks." if each > 1 else "")
    return figure


def bits_of_rows(bits: np.ndarray) -> Figure:
    """Plot how many rows have which bits per character `(N,)`."""
    figure, (ax,) = new_figure(width=6.4, height=3.2)
    ax.hist(bits, bins=min(60, max(5, len(bits) // 4)), color=PALETTE[0])
    ax.axvline(float(bits.mean()), color=INK, linewidth=1, linestyle=":")
    label_axes(ax, f"Bits per character of {len(bits):,} rows", "bits per character", "rows")
    return figure
