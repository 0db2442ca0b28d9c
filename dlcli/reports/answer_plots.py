"""Plots of answers: F1 and exact match by group, and F1 by the probability of the prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dlcli.reports.style import FONT, INK, PALETTE, caption, label_axes, literal, new_figure

# Bins of the predictions, each with the same number of questions.
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
        f1: of each question `(N,)`.
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
