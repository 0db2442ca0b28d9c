"""Plots of a cross-validation: the metrics of each fold, and mean learning curves with a band over folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from dlcli.reports.style import FONT, GREY, INK, PALETTE, TRAIN, VAL, caption, label_axes, literal, new_figure
from dlcli.splits.split import HELD_OUT
from dlcli.statistics.interval import Interval

# Folds may stop early. Epochs that fewer than this share of the folds reached are not plotted, because the mean of the
# remaining folds would be misleading.
_ENOUGH = 0.5


def fold_figures(table: pd.DataFrame, intervals: Mapping[str, Interval], metric: str, line: str) -> Figure:
    """Plot the metric and the loss of each fold's held-out rows, with their mean and its 95 % interval.

    Args:
        table: One line per training run with `fold`, `repeat` and `held-out/METRIC`.
        intervals: Metric to its interval over folds.
        metric: The metric to plot next to the loss.
        line: The caption.
    """
    metrics = [metric] if metric == "loss" else [metric, "loss"]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.7)
    for ax, name in zip(axes, metrics, strict=True):
        label_axes(ax, literal(f"{name} of held-out rows"), "fold", "")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        several = table["repeat"].nunique() > 1
        # Draw seeds side by side, so that equal values do not hide each other.
        seeds = table["repeat"].nunique()
        apart = min(0.14, 0.6 / seeds)
        for repeat, group in table.groupby("repeat"):
            colour = PALETTE[int(repeat) % len(PALETTE)]
            label = f"seed {repeat}" if several else None
            places = group["fold"] + (int(repeat) - (seeds - 1) / 2) * apart
            ax.plot(places, group[f"{HELD_OUT}/{name}"], "o", color=colour, markersize=5, label=label)
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
    """Plot loss and metric over epochs: the mean of the folds with a band of one standard deviation.

    Args:
        histories: For each fold, the metrics of its epochs.
        metric: The metric to plot next to the loss.
    """
    metrics = [metric] if metric == "loss" else ["loss", metric]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.7)
    for ax, name in zip(axes, metrics, strict=True):
        label_axes(ax, literal(name), "epoch", "")
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
        f"Mean of {len(histories)} folds and a band of one standard deviation, for the epochs that at least half of "
        "the folds reached.",
    )
    return figure


def size_curves(curves: Mapping[str, Sequence[tuple[float, Interval]]]) -> Figure:
    """Plot metrics of held-out rows over the number of training rows, with their 95 % intervals.

    Args:
        curves: Metric to (number of training rows, interval over folds), from few to many rows.
    """
    figure, axes = new_figure(len(curves), width=5.2 * len(curves), height=3.7)
    for ax, (name, points) in zip(axes, curves.items(), strict=True):
        label_axes(ax, literal(f"{name} of held-out rows"), "training rows", "")
        rows = [count for count, _ in points]
        ax.plot(rows, [interval.mean for _, interval in points], "o-", color=VAL, linewidth=1.8, markersize=5)
        finite = [(count, i) for count, i in points if math.isfinite(i.low) and math.isfinite(i.high)]
        ax.fill_between(
            [count for count, _ in finite],
            [interval.low for _, interval in finite],
            [interval.high for _, interval in finite],
            color=VAL,
            alpha=0.18,
            linewidth=0,
        )
        ax.set_xscale("log")
        ax.set_xticks(rows, [f"{count:,.0f}" for count in rows])
        ax.xaxis.set_minor_locator(NullLocator())
    caption(
        figure,
        "Mean over folds and its 95 % interval. A curve that is still rising indicates that more rows would help.",
    )
    return figure


def _aligned(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Return curves of different lengths as `(folds, epochs)`, cut where too few of them have a value."""
    longest = max(map(len, curves), default=0)
    table = np.full((len(curves), longest), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    table[~np.isfinite(table)] = np.nan
    enough = np.isfinite(table).mean(axis=0) >= _ENOUGH
    return table[:, : int(np.argmin(enough)) if not enough.all() else longest]
