"""Plots of forecasts, and of the values tried by a finder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcli.datasets.windows import Stretches, Windows
from dlcli.reports.finder_plots import finder_curve
from dlcli.reports.forecast_plots import error_by_step, forecasts
from dlcli.reports.regression_plots import PANELS
from dlcli.reports.style import PALETTE, save
from dlcli.training.finders import FinderResult
from tests.reports.artists import labelled, legend, note, points, xy


def windows(targets: int = 1, steps: int = 20, **more: object) -> Windows:
    values = np.arange(steps * targets, dtype=float).reshape(steps, targets)
    return Windows(values, np.array([6, 10, 14]), horizon=3, times=np.arange(steps), **more)  # type: ignore[arg-type]


def test_the_forecast_of_the_middle_row_is_plotted_with_the_true_values(tmp_path: Path) -> None:
    y = windows(targets=2)
    predicted = np.zeros((3, 3, 2))
    predicted[1] = [[-1, -2], [-3, -4], [-5, -6]]
    figure = forecasts(y, predicted, ["$ sales", "visits"])
    sales, visits = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == [r"\$ sales", "visits"]
    # Row 1 begins at step 10: twice the horizon before it, and the last known value begins both lines.
    assert xy(sales.lines[0]) == [(step, 2 * step) for step in range(4, 10)]
    assert points(sales, "truth") == [(step, 2 * step) for step in range(9, 13)]
    assert points(sales, "forecast") == [(9, 18), (10, -1), (11, -3), (12, -5)]
    assert points(visits, "forecast") == [(9, 19), (10, -2), (11, -4), (12, -6)]
    assert legend(sales) == ["truth", "forecast"]
    assert legend(visits) == []
    assert note(figure) == "Row 2 of 3."
    save(figure, tmp_path / "forecast.png")


def test_history_does_not_reach_into_another_series() -> None:
    y = windows(stretches=Stretches(np.array([0, 8]), ("north", "south"), "store"))
    figure = forecasts(y, np.zeros((3, 3, 1)), ["sales"])
    assert xy(figure.axes[0].lines[0]) == [(8, 8), (9, 9)]
    assert note(figure) == "Row 2 of 3 of south."


def test_targets_beyond_the_panels_are_named() -> None:
    count = PANELS + 2
    names = [f"t{index}" for index in range(count)]
    figure = forecasts(windows(count), np.zeros((3, 3, count)), names)
    assert len(figure.axes) == PANELS
    assert note(figure) == f"Row 2 of 3. Not shown: {names[-2]}, {names[-1]}."


def test_the_error_is_plotted_by_step_ahead(tmp_path: Path) -> None:
    figure = error_by_step(np.array([[0.1, 0.3], [0.2, 0.6]]), ["sales", "visits"])
    (ax,) = figure.axes
    assert labelled(ax) == {
        "title": "Error by step",
        "x": "steps ahead",
        "y": "mean absolute error, in standard deviations of the target",
    }
    assert points(ax, "sales") == [(1, 0.1), (2, 0.2)]
    assert points(ax, "visits") == [(1, 0.3), (2, 0.6)]
    assert points(ax, "mean") == [(1, 0.2), (2, 0.4)]
    assert ax.get_ylim()[0] == 0
    save(figure, tmp_path / "error.png")


@pytest.mark.parametrize(
    ("targets", "lines"), [(1, 1), (len(PALETTE), len(PALETTE) + 1), (len(PALETTE) + 1, 1)]
)
def test_only_the_mean_of_many_targets_is_plotted(targets: int, lines: int) -> None:
    (ax,) = error_by_step(np.ones((2, targets)), [f"t{index}" for index in range(targets)]).axes
    assert len(ax.lines) == lines
    assert legend(ax) == ([] if targets == 1 else [line.get_label() for line in ax.lines])


@pytest.mark.parametrize(("tried", "marker"), [(3, "o"), (20, "")])
def test_the_finders_plot_has_what_was_tried_and_chosen(tried: int, marker: str, tmp_path: Path) -> None:
    rates = [10.0 ** -(index + 1) for index in range(tried)]
    losses = [float(index) for index in range(tried)]
    figure = finder_curve(FinderResult("optimizer.lr", 0.01, rates, losses, "loss", "the steepest descent"))
    (ax,) = figure.axes
    assert labelled(ax) == {"title": "optimizer.lr: tried values", "x": "optimizer.lr", "y": "loss"}
    curve, chosen = ax.lines
    assert np.asarray(curve.get_xdata()).tolist() == rates
    assert np.asarray(curve.get_ydata()).tolist() == losses
    assert (curve.get_marker() == "o") == (marker == "o")
    assert [x for x, _ in xy(chosen)] == [0.01, 0.01]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["0.01"]
    assert note(figure) == "Chosen: 0.01: the steepest descent."
    save(figure, tmp_path / "found.png")
