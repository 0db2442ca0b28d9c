"""Plot learning curves: metrics over epochs with a diagnosis, and the norms of gradients by layer.

A history maps the name of a metric (`train/loss`, `val/accuracy`) to (epoch, value) pairs. Its epochs count from 0, as
in Lightning and MLflow; plots and the progress bar count from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from dlcli.reports.diagnosis import diagnose
from dlcli.reports.style import FONT, GREY, INK, TRAIN, VAL, caption, label_axes, literal, new_figure
from dlcli.training.watch_gradients import BY_POSITION, GRADIENT_NORM, IDLE_UNITS

__all__ = ["diagnose", "gradient_curves", "learning_curves"]

# Ratio of the largest to the smallest loss above which the axis is logarithmic.
LOG_SCALE_FROM = 30


def learning_curves(
    history: Mapping[str, Sequence[tuple[int, float]]],
    best_epoch: int | None,
    monitor: str = "val/loss",
    max_epochs: int | None = None,
    baseline: float | None = None,
    *,
    linear: str = "linear",
    solved_head: bool = False,
) -> Figure:
    """Plot train and val curves of the loss and the main metric, with the best epoch and the diagnosis.

    The main metric is that of `monitor`; if this is the loss, it is the first other metric with val values.

    Args:
        history: Name of a metric to (epoch, value) pairs.
        best_epoch: Number of the best epoch, from 0; None for no mark.
        monitor: The monitored metric, such as `val/loss`.
        max_epochs: The limit of the epochs, which the diagnosis names.
        baseline: The val loss of a constant prediction, with which the diagnosis compares.
        linear: The linear model for the task, which the diagnosis may advise; empty: none.
        solved_head: Whether a linear head was solved on a frozen backbone, without steps.
    """
    main = _main_metric(history, monitor)
    metrics = ["loss"] if main is None else ["loss", main]
    figure, axes = new_figure(len(metrics), width=5.2 * len(metrics), height=3.9)
    for ax, metric in zip(axes, metrics, strict=True):
        _draw(ax, history, metric, best_epoch)
    caption(figure, diagnose(history, max_epochs, baseline, linear=linear, solved_head=solved_head))
    return figure


def _main_metric(history: Mapping[str, Sequence[tuple[int, float]]], monitor: str) -> str | None:
    wanted = monitor.partition("/")[2]
    candidates = [wanted, *(name.partition("/")[2] for name in history)]
    return next((m for m in candidates if m != "loss" and history.get(f"val/{m}")), None)


def _draw(
    ax: Axes, history: Mapping[str, Sequence[tuple[int, float]]], metric: str, best_epoch: int | None
) -> None:
    finite: list[float] = []
    label_axes(ax, literal(metric), "epoch", "")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for split, colour in (("train", TRAIN), ("val", VAL)):
        points = [(e + 1, v) for e, v in history.get(f"{split}/{metric}", ()) if math.isfinite(v)]
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        finite += values
        # Markers show the individual points of a short history.
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
        # Ticks are written as 0.1, not 10^-1. Without minor ticks and formulas, drawing also takes half the time.
        decades = math.log10(max(finite) / min(finite))
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(fontsize=FONT["tick"], frameon=False)


_LEGEND = 8  # layers in a legend; of more, the first and the last ones are named

Curves = Mapping[str, Sequence[tuple[int, float]]]


def gradient_curves(history: Curves) -> Figure | None:
    """Plot the norms of gradients over epochs, by layer and by position, and shares of idle units; None without them.

    Args:
        history: Name of a metric to (epoch, value) pairs, epochs from 0.
    """
    norms, idle = _of(history, GRADIENT_NORM), _of(history, IDLE_UNITS)
    by_position = {
        name.replace("_", " ") + " of the steps": c for name, c in _of(history, BY_POSITION).items()
    }
    if not norms:
        return None
    panels = [("norm of the gradient, by layer", norms)]
    panels += [("norm of the gradient by the inputs", by_position)] if by_position else []
    columns = len(panels) + bool(idle)
    figure, axes = new_figure(columns, width=6.4 if columns == 1 else 5.2 * columns, height=3.9)
    for ax, (title, curves) in zip(axes, panels, strict=False):
        label_axes(ax, title, "epoch", "")
        positive = [value for points in curves.values() for _, value in points if value > 0]
        if positive and max(positive) > 10 * min(positive):
            ax.set_yscale("log")
            ax.set_ylim(bottom=min(positive) / 2)  # a logarithmic axis has no 0
            _draw_layers(ax, _raised(curves, min(positive) / 2))
        else:
            _draw_layers(ax, curves)
    if idle:
        label_axes(axes[-1], "share of idle units, by layer", "epoch", "")
        _draw_layers(axes[-1], idle)
        axes[-1].set_ylim(-0.02, 1.02)
    first, *_, last = [*norms, *norms]
    ends = [norms[name][-1][1] for name in (first, last)]
    if len(norms) > 1 and all(math.isfinite(end) and end > 0 for end in ends):
        caption(
            figure,
            f"In the last epoch, the gradient of the first layer ({first}) is {ends[0] / ends[1]:.2g} times that "
            f"of the last one ({last}).",
        )
    elif zero := [name for name, points in norms.items() if points[-1][1] == 0]:
        which = "all layers" if len(zero) == len(norms) else ", ".join(zero)
        caption(
            figure,
            f"In the last epoch, the gradient of {which} is 0, on the lower edge of a logarithmic axis.",
        )
    return figure


def _raised(curves: Curves, least: float) -> dict[str, list[tuple[int, float]]]:
    """Return the curves with zeros replaced by a value, which a logarithmic axis can show."""
    return {name: [(epoch, value or least) for epoch, value in points] for name, points in curves.items()}


def _of(history: Curves, prefix: str) -> dict[str, Sequence[tuple[int, float]]]:
    return {
        name.removeprefix(f"{prefix}/"): points
        for name, points in history.items()
        if name.startswith(f"{prefix}/")
    }


def _draw_layers(ax: Axes, curves: Curves) -> None:
    """Draw one line per layer, from dark (near the input) to light (near the output)."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    colours = colormaps["viridis"]
    for number, (name, points) in enumerate(curves.items()):
        finite = [(epoch + 1, value) for epoch, value in points if math.isfinite(value)]
        named = len(curves) <= _LEGEND or number in (0, len(curves) - 1)
        ax.plot(
            [epoch for epoch, _ in finite],
            [value for _, value in finite],
            color=colours(0.9 * number / max(1, len(curves) - 1)),
            linewidth=1.6,
            marker="o" if len(finite) <= 15 else "",
            markersize=3.5,
            label=literal(name) if named else None,
        )
    ax.legend(fontsize=FONT["tick"], frameon=False)
