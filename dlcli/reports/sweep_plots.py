"""Plots of a sweep: values over trials, importances of settings, parallel coordinates, contours, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from dlcli.formatting import counted
from dlcli.reports.style import (
    FONT,
    GREY,
    INK,
    PALETTE,
    caption,
    label_axes,
    literal,
    new_figure,
    shorten,
)

_COLOURS = "viridis"
# A Pareto front is plotted for each pair of the first few objectives. An axis is logarithmic if the ratio of its values
# exceeds _WIDE.
_MOST_OBJECTIVES, _WIDE = 3, 30
# Maximum number of settings in parallel coordinates; those that most trials have are shown.
_MOST_AXES = 8


@dataclass(frozen=True)
class Tried:
    """A finished trial: its settings and its value."""

    number: int
    params: Mapping[str, Any]
    value: float


@dataclass(frozen=True)
class SettingAxis:
    """The axis of a setting: `names` holds its choices in order and is empty for numbers."""

    key: str
    names: tuple[str, ...] = ()
    log: bool = False

    def place(self, value: Any) -> float:
        """Return the position of a value on the axis."""
        if self.names:
            return self.names.index(str(value))
        return math.log10(value) if self.log else float(value)

    def text(self, place: float) -> str:
        """Return the label of a position."""
        if self.names:
            return shorten(self.names[round(place)], 14)
        value = 10**place if self.log else place
        return f"{value:,.0f}" if 999.5 <= abs(value) < 1e7 else f"{value:.3g}"


def history(
    tried: Sequence[Tried], ended_early: Mapping[str, Sequence[int]], metric: str, mode: str
) -> Figure:
    """Plot the value of each finished trial, the best value so far, and marks for pruned and failed trials.

    Args:
        tried: Finished trials in the order of their numbers.
        ended_early: Label ("pruned", "failed") to numbers of trials.
        metric: Name of the objective.
        mode: `min` or `max`.
    """
    figure, (ax,) = new_figure(width=7.2, height=3.9)
    label_axes(ax, literal(f"{metric} of the trials"), "trial", "")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    numbers, values = [trial.number for trial in tried], np.array([trial.value for trial in tried])
    ax.plot(numbers, values, "o", color=PALETTE[0], markersize=4, alpha=0.7, label="finished")
    best = np.minimum.accumulate(values) if mode == "min" else np.maximum.accumulate(values)
    ax.step(numbers, best, where="post", color=PALETTE[1], linewidth=1.8, label="best so far")
    _limit_to_bulk(ax, values)
    low, high = ax.get_ylim()
    for colour, (what, where) in zip((GREY, INK), ended_early.items(), strict=False):
        if where:
            ax.plot(
                where, [low + 0.02 * (high - low)] * len(where), "|", color=colour, markersize=8, label=what
            )
    ax.legend(fontsize=FONT["tick"], frameon=False)
    return figure


def _limit_to_bulk(ax: Axes, values: np.ndarray) -> None:
    """Limit the y axis to the bulk of the values, so that outliers do not compress all others into one line."""
    low, high = np.quantile(values, [0, 1])
    inner_low, inner_high = np.quantile(values, [0.05, 0.95])
    room = 0.05 * max(inner_high - inner_low, 1e-12)
    if high - low > 5 * (inner_high - inner_low) > 0:
        ax.set_ylim(max(low, inner_low - 4 * room) - room, min(high, inner_high + 4 * room) + room)


def importance_bars(importances: Mapping[str, float], metric: str) -> Figure:
    """Plot the share of the variance that each setting explains, the largest on top."""
    figure, (ax,) = new_figure(width=6.4, height=1.4 + 0.32 * len(importances))
    names = list(importances)[::-1]
    bars = ax.barh(
        [literal(shorten(name, 36)) for name in names], [importances[n] for n in names], color=PALETTE[0]
    )
    ax.bar_label(bars, fmt="%.2f", fontsize=FONT["tick"], color=INK, padding=3)
    ax.grid(axis="y", visible=False)
    label_axes(ax, "Importance of settings", literal(f"share of the variance of {metric}"), "")
    ax.set_xlim(0, max(1e-3, 1.15 * max(importances.values())))
    caption(figure, "Computed by fANOVA (Hutter et al., 2014) for the settings that all trials have.")
    return figure


def parallel_coordinates(
    tried: Sequence[Tried], scales: Sequence[SettingAxis], metric: str, mode: str
) -> Figure | None:
    """Plot a line through the settings of each trial, colored by rank; None with fewer than two settings."""
    having = {scale.key: sum(scale.key in trial.params for trial in tried) for scale in scales}
    common = sorted(filter(having.get, having), key=lambda key: -having[key])[:_MOST_AXES]
    shown = [scale for scale in scales if scale.key in common]
    if len(shown) < 2:
        return None
    figure, (ax,) = new_figure(width=max(5.0, 1.7 * len(shown) + 2.2), height=4.2)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_yticks([])
    ax.set_xticks(range(len(shown)), [literal(shorten(scale.key, 24)) for scale in shown])
    ax.set_xlim(-0.1, len(shown) - 0.6)
    ax.set_ylim(-0.05, 1.05)  # set explicitly, because the lines may not reach the ends of the axes
    ends = [_ends(scale, tried) for scale in shown]
    for index, (scale, (low, high)) in enumerate(zip(shown, ends, strict=True)):
        ax.axvline(index, color=GREY, linewidth=1)
        for place in _marks(scale, low, high):
            height = (place - low) / (high - low)
            box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
            text = literal(scale.text(place))
            ax.text(index + 0.03, height, text, fontsize=FONT["small"], color=INK, va="center", bbox=box)
    ranks = _ranks([trial.value for trial in tried], mode)
    colours = _colour_map()
    for position in np.argsort(-ranks):
        trial, rank = tried[position], ranks[position]
        there = [
            (index, (scale.place(trial.params[scale.key]) - low) / (high - low))
            for index, (scale, (low, high)) in enumerate(zip(shown, ends, strict=True))
            if scale.key in trial.params
        ]
        ax.plot(
            *zip(*there, strict=True),
            color=colours(rank),
            alpha=0.35 + 0.6 * (1 - rank) ** 2,
            linewidth=2.4 if rank == 0 else 1.3,
        )
    ax.set_title(f"Settings of {counted(len(tried), 'trial')}", fontsize=FONT["title"], color=INK, loc="left")
    best = min(tried, key=lambda trial: ranks[tried.index(trial)])
    caption(
        figure,
        f"Dark is best, yellow is worst, by {metric}. The best is trial {best.number}: {best.value:.4g}.",
    )
    return figure


def contour(
    tried: Sequence[Tried], across: SettingAxis, up: SettingAxis, metric: str, mode: str
) -> Figure | None:
    """Plot the value over two settings, with the trials as dots; None with fewer than four trials or three values."""
    both = [trial for trial in tried if across.key in trial.params and up.key in trial.params]
    x = np.array([across.place(trial.params[across.key]) for trial in both])
    y = np.array([up.place(trial.params[up.key]) for trial in both])
    if len(both) < 4 or len(np.unique(x)) < 3 or len(np.unique(y)) < 3:
        return None
    ranks = _ranks([trial.value for trial in both], mode)
    figure, (ax,) = new_figure(width=5.8, height=4.6)
    label_axes(ax, literal(metric), literal(across.key), literal(up.key))
    grid_x, grid_y = _with_margins(x), _with_margins(y)
    surface = _smooth((x, y), ranks, grid_x, grid_y)
    ax.contourf(grid_x, grid_y, surface, levels=12, cmap=_COLOURS, alpha=0.75)
    ax.scatter(x, y, c=ranks, cmap=_COLOURS, edgecolors="white", linewidths=0.7, s=24)
    best = int(np.argmin(ranks))
    ax.plot(x[best], y[best], "*", color=PALETTE[1], markersize=14, markeredgecolor="white")
    _mark(ax.xaxis, across)
    _mark(ax.yaxis, up)
    caption(
        figure,
        f"Trials by rank, smoothed: dark is best, yellow is worst. The star is trial {both[best].number}.",
    )
    return figure


def _mark(axis: Axis, scale: SettingAxis) -> None:
    """Set the tick labels of an axis: one tick per choice, or matplotlib's ticks for numbers."""
    if scale.names:
        axis.set_major_locator(FixedLocator(range(len(scale.names))))
    elif scale.log and (places := _round_places(*axis.get_view_interval())):
        axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(lambda place, _: scale.text(place))


def _round_places(low: float, high: float) -> list[float]:
    """Return the positions of 1, 2 and 5 times powers of ten on a logarithmic axis; on wide axes only the powers."""
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    places = [decade + math.log10(factor) for decade in decades for factor in factors]
    return [place for place in places if low <= place <= high]


def _with_margins(places: np.ndarray) -> np.ndarray:
    """Return grid positions that extend beyond the trials on both sides."""
    margin = 0.05 * np.ptp(places)
    return np.linspace(places.min() - margin, places.max() + margin, 60)


def pareto(points: Sequence[tuple[float, ...]], front: Sequence[int], names: Sequence[str]) -> Figure:
    """Plot all trials by pairs of the first three objectives, with the Pareto front.

    Args:
        points: The objectives' values of each trial.
        front: Positions in `points` of the trials on the front.
        names: Names of the objectives.
    """
    pairs = list(combinations(range(min(len(names), _MOST_OBJECTIVES)), 2))
    figure, axes = new_figure(len(pairs), width=max(6.2, 4.2 * len(pairs)), height=4.4)
    others = [point for index, point in enumerate(points) if index not in front]
    best = sorted(points[index] for index in front)
    for ax, (across, up) in zip(axes, pairs, strict=True):
        label_axes(ax, "", literal(names[across]), literal(names[up]))
        for chosen, colour, label in ((others, GREY, "other trials"), (best, PALETTE[1], "Pareto front")):
            x, y = [point[across] for point in chosen], [point[up] for point in chosen]
            ax.plot(x, y, "o", color=colour, markersize=5.5, label=label)
        if len(names) == 2:  # with more objectives the front is a surface, not a line
            ax.plot(*zip(*best, strict=True), color=PALETTE[1], linewidth=1, alpha=0.6)
        if _differ_widely([point[across] for point in points]):
            ax.set_xscale("log")
        if _differ_widely([point[up] for point in points]):
            ax.set_yscale("log")
    axes[0].set_title("Pareto front", fontsize=FONT["title"], color=INK, loc="left")
    axes[0].legend(fontsize=FONT["tick"], frameon=False)
    caption(figure, "For a trial on the front, no other trial is better in all objectives.")
    return figure


def _differ_widely(values: Sequence[float]) -> bool:
    """Return whether positive values span a large factor, as the costs of small and large models do."""
    return min(values) > 0 and max(values) > _WIDE * min(values)


def _ends(scale: SettingAxis, tried: Sequence[Tried]) -> tuple[float, float]:
    places = [scale.place(trial.params[scale.key]) for trial in tried if scale.key in trial.params]
    low, high = (0, len(scale.names) - 1) if scale.names else (min(places), max(places))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _marks(scale: SettingAxis, low: float, high: float) -> list[float]:
    return [float(i) for i in range(len(scale.names))] if scale.names else list(np.linspace(low, high, 4))


def _ranks(values: Sequence[float], mode: str) -> np.ndarray:
    """Return ranks from 0 (best) to 1 (worst). With ranks, a single bad trial does not dominate the color scale."""
    ranks = pd.Series(values, dtype=float).rank(ascending=mode == "min").to_numpy() - 1
    return ranks / max(1, len(values) - 1)


def _smooth(
    places: tuple[np.ndarray, np.ndarray], values: np.ndarray, grid_x: np.ndarray, grid_y: np.ndarray
) -> np.ndarray:
    """Return the Nadaraya-Watson kernel estimate on a grid, `(len(grid_y), len(grid_x))`."""
    (x, y), width = places, 0.12
    span_x, span_y = np.ptp(grid_x), np.ptp(grid_y)
    far = ((grid_x[None, :, None] - x) / span_x) ** 2 + ((grid_y[:, None, None] - y) / span_y) ** 2
    weights = np.exp(-far / (2 * width**2)) + 1e-12
    return (weights * values).sum(axis=-1) / weights.sum(axis=-1)


def _colour_map() -> Any:
    return colormaps[_COLOURS]
