"""Learning curves: train against val over the epochs, and one sentence that reads them.

A history maps a metric's name (`train/loss`, `val/accuracy`) to its (epoch, value) pairs. Epochs count from
0, as in Lightning and MLflow; people read them from 1, as on the training bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from dlcli.reports.diagnosis import diagnose
from dlcli.reports.style import FONT, GREY, INK, TRAIN, VAL, caption, describe, literal, new_figure

__all__ = ["diagnose", "learning_curves"]

LOG_SCALE_FROM = 30  # the largest loss over the smallest


def learning_curves(
    history: Mapping[str, Sequence[tuple[int, float]]], best_epoch: int | None, monitor: str = "val/loss"
) -> Figure:
    """Loss and the main metric, train against val, the best epoch marked, with the diagnosis underneath.

    The main metric is that of `monitor`, or where that is the loss the first other one with val values.
    """
    main = _main_metric(history, monitor)
    metrics = ["loss"] if main is None else ["loss", main]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.9)
    for ax, metric in zip(axes, metrics, strict=True):
        _draw(ax, history, metric, best_epoch)
    caption(figure, diagnose(history))
    return figure


def _main_metric(history: Mapping[str, Sequence[tuple[int, float]]], monitor: str) -> str | None:
    wanted = monitor.partition("/")[2]
    candidates = [wanted, *(name.partition("/")[2] for name in history)]
    return next((m for m in candidates if m != "loss" and history.get(f"val/{m}")), None)


def _draw(
    ax: Axes, history: Mapping[str, Sequence[tuple[int, float]]], metric: str, best_epoch: int | None
) -> None:
    finite: list[float] = []
    describe(ax, literal(metric), "epoch", "")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for split, colour in (("train", TRAIN), ("val", VAL)):
        points = [(e + 1, v) for e, v in history.get(f"{split}/{metric}", ()) if math.isfinite(v)]
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        finite += values
        # A short history is a handful of points: show that it is.
        marker = "o" if len(points) <= 15 else ""
        ax.plot(epochs, values, color=colour, linewidth=1.8, marker=marker, markersize=3.5, label=split)
        if split == "val" and best_epoch is not None and best_epoch + 1 in epochs:
            value = values[epochs.index(best_epoch + 1)]
            ax.axvline(best_epoch + 1, color=GREY, linewidth=1, linestyle="--", zorder=1)
            label = f"best: epoch {best_epoch + 1}, {value:.4g}"
            ax.plot(
                [best_epoch + 1], [value], "o", color=colour, markersize=8, mec=INK, label=label, zorder=5
            )
    if not finite:
        ax.text(0.5, 0.5, "no finite values", transform=ax.transAxes, ha="center", color=GREY)
        return
    if metric == "loss" and min(finite) > 0 and max(finite) / min(finite) > LOG_SCALE_FROM:
        # 0.1 rather than 10^-1; without minor ticks and formulas the picture also draws in half the time.
        decades = math.log10(max(finite) / min(finite))
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(fontsize=FONT["tick"], frameon=False)
