"""Pictures of a cross-validation: the figure of each fold, and learning curves with a band over folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlcli.reports.style import FONT, GREY, INK, PALETTE, TRAIN, VAL, caption, describe, literal, new_figure
from dlcli.statistics.interval import Interval

# A fold that stopped early has no later epochs: where less than this share of folds is left, the band would mislead.
_ENOUGH = 0.5


def fold_figures(table: pd.DataFrame, intervals: Mapping[str, Interval], metric: str, line: str) -> Figure:
    """Each fold's figure on its held-out rows, with the mean and its 95 % interval; `metric` and the loss.

    `table` has a line a training with `fold`, `repeat` and `test/METRIC`.
    """
    metrics = [metric] if metric == "loss" else [metric, "loss"]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.7)
    for ax, name in zip(axes, metrics, strict=True):
        describe(ax, literal(f"{name} of held-out rows"), "fold", "")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        several = table["repeat"].nunique() > 1
        for repeat, group in table.groupby("repeat"):
            colour = PALETTE[int(repeat) % len(PALETTE)]
            label = f"seed {repeat}" if several else None
            ax.plot(group["fold"], group[f"test/{name}"], "o", color=colour, markersize=5, label=label)
        interval = intervals[name]
        ax.axhline(interval.mean, color=INK, linewidth=1.4, label=f"mean {interval.mean:.4g}")
        if math.isfinite(interval.low):
            ax.axhspan(
                interval.low, interval.high, color=GREY, alpha=0.25, linewidth=0, label="95 % interval"
            )
        ax.legend(fontsize=FONT["tick"], frameon=False)
    caption(figure, line)
    return figure


def fold_curves(histories: Sequence[Sequence[Mapping[str, float]]], metric: str) -> Figure:
    """Loss and metric over the epochs: the mean of the folds, and a band of one standard deviation."""
    metrics = [metric] if metric == "loss" else ["loss", metric]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.7)
    for ax, name in zip(axes, metrics, strict=True):
        describe(ax, literal(name), "epoch", "")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for part, colour in (("train", TRAIN), ("val", VAL)):
            values = _aligned([[e.get(f"{part}/{name}", math.nan) for e in epochs] for epochs in histories])
            if values.size == 0:
                continue
            epochs = np.arange(1, values.shape[1] + 1)
            mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
            ax.plot(epochs, mean, color=colour, linewidth=1.8, label=part)
            ax.fill_between(epochs, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0)
        if ax.lines:
            ax.legend(fontsize=FONT["tick"], frameon=False)
    caption(
        figure,
        f"Mean of {len(histories)} folds, band of one standard deviation; as far as half of them trained.",
    )
    return figure


def _aligned(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Curves of unequal length as `(folds, epochs)`, up to where enough of them have a value."""
    longest = max(map(len, curves), default=0)
    table = np.full((len(curves), longest), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    table[~np.isfinite(table)] = np.nan
    enough = np.isfinite(table).mean(axis=0) >= _ENOUGH
    return table[:, : int(np.argmin(enough)) if not enough.all() else longest]
