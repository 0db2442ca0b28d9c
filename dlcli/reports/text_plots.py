"""Plots of predictions about texts: answers of questions, bits per character of language models, tagged entities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dlcli.reports.style import FONT, GREY, INK, PALETTE, caption, label_axes, literal, new_figure, shorten

# Groups of questions by probability, of equal size.
_BINS = 10


def scores_by_group(table: pd.DataFrame) -> Figure:
    """Plot F1 and exact match of each group of questions, given the table of `AnswerSpan.breakdown`."""
    figure, (ax,) = new_figure(width=6.8, height=1.4 + 0.36 * max(3, len(table)))
    places = np.arange(len(table))
    for number, (name, shown) in enumerate((("f1", "F1"), ("exact_match", "exact match"))):
        values = table[name].to_numpy()
        ax.barh(places + 0.36 * number - 0.18, values, height=0.34, color=PALETTE[number], label=shown)
        for place, value in zip(places, values.tolist(), strict=True):
            ax.text(
                value + 0.01, place + 0.36 * number - 0.18, f"{value:.2f}", va="center",
                fontsize=FONT["small"], color=INK,
            )  # fmt: skip
    titles = [
        literal(f"{by}: {name} ({rows:,})")
        for by, name, rows in table[["by", "class", "rows"]].itertuples(index=False)
    ]
    ax.set_yticks(places, titles)
    ax.set(xlim=(0, 1.1), ylim=(len(table) - 0.4, -0.6))
    label_axes(ax, "Answers by question word and length", "mean over the questions", "")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=FONT["small"])
    caption(figure, "In brackets: number of questions.")
    return figure


def f1_by_score(f1: np.ndarray, score: np.ndarray) -> Figure:
    """Plot the mean F1 of predictions of similar probability.

    Args:
        f1: F1 of each question `(N,)`.
        score: probability of each prediction `(N,)`.
    """
    order = np.argsort(score, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, max(1, len(order)))) if len(part)]
    figure, (ax,) = new_figure(width=5.4, height=3.6)
    means = [(score[part].mean(), f1[part].mean()) for part in bins]
    ax.plot(*np.array(means).T, marker="o", color=PALETTE[0])
    ax.set(xlim=(0, 1), ylim=(0, 1))
    label_axes(ax, "F1 by the probability of the prediction", "probability of the predicted span", "mean F1")
    caption(figure, f"{len(bins)} groups of about {len(order) / max(1, len(bins)):.0f} questions.")
    return figure


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
    """Plot a histogram of the bits per character of rows `(N,)`."""
    figure, (ax,) = new_figure(width=6.4, height=3.2)
    ax.hist(bits, bins=min(60, max(5, len(bits) // 4)), color=PALETTE[0])
    ax.axvline(float(bits.mean()), color=INK, linewidth=1, linestyle=":")
    label_axes(ax, f"Bits per character of {len(bits):,} rows", "bits per character", "rows")
    return figure


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
