"""Plots of a cross-validation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from dlcli.reports.folds import fold_curves, fold_figures
from dlcli.reports.style import save
from dlcli.statistics.interval import Interval
from tests.reports.artists import labelled, legend, note, points, xy

NAN = math.nan


def span(ax: Axes) -> tuple[float, float]:
    """Return the limits of the axes' horizontal band."""
    (band,) = ax.patches
    box = band.get_extents().transformed(ax.transData.inverted())
    return box.y0, box.y1


def test_each_fold_is_shown_with_the_mean_and_its_interval(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "fold": [0, 1, 0, 1],
            "repeat": [0, 0, 1, 1],
            "held-out/accuracy": [0.8, 0.9, 0.7, 0.95],
            "held-out/loss": [1.0, 2.0, 3.0, 4.0],
        }
    )
    intervals = {
        "accuracy": Interval(0.8375, 0.1, 0.05, 0.75, 0.925),
        "loss": Interval(2.5, 1.0, 0.5, 1.5, 3.5),
    }
    figure = fold_figures(table, intervals, "accuracy", "accuracy 0.838 ± 0.1")
    accuracy, loss = figure.axes
    assert labelled(accuracy) == {"title": "accuracy of held-out rows", "x": "fold"}
    assert labelled(loss) == {"title": "loss of held-out rows", "x": "fold"}
    assert points(accuracy, "seed 0") == [(-0.07, 0.8), (0.93, 0.9)], "side by side"
    assert points(accuracy, "seed 1") == [(0.07, 0.7), (1.07, 0.95)]
    assert points(loss, "seed 1") == [(0.07, 3), (1.07, 4)]
    assert [y for _, y in points(accuracy, "mean 0.8375")] == [0.8375, 0.8375]
    assert span(accuracy) == pytest.approx((0.75, 0.925))
    assert span(loss) == pytest.approx((1.5, 3.5))
    assert legend(accuracy) == ["seed 0", "seed 1", "mean 0.8375", "95 % interval"]
    assert note(figure) == "accuracy 0.838 ± 0.1"
    save(figure, tmp_path / "folds.png")


def test_one_seed_has_no_name_and_one_fold_no_interval() -> None:
    table = pd.DataFrame({"fold": [0], "repeat": [0], "held-out/loss": [1.0]})
    figure = fold_figures(table, {"loss": Interval(1.0, NAN, NAN, NAN, NAN)}, "loss", "loss 1.000")
    (ax,) = figure.axes  # the loss is not drawn twice
    assert xy(ax.lines[0]) == [(0, 1)]
    assert legend(ax) == ["mean 1"]
    assert not ax.patches


def test_curves_have_the_mean_of_the_folds_and_a_band_of_their_deviation(tmp_path: Path) -> None:
    histories = [
        [
            {"train/loss": 2.0, "val/loss": 3.0, "val/f1": 0.2},
            {"train/loss": 1.0, "val/loss": 2.0, "val/f1": 0.4},
        ],
        [
            {"train/loss": 4.0, "val/loss": 5.0, "val/f1": 0.4},
            {"train/loss": 3.0, "val/loss": 2.0, "val/f1": 0.8},
        ],
    ]
    figure = fold_curves(histories, "f1")
    loss, f1 = figure.axes
    assert [labelled(ax) for ax in figure.axes] == [
        {"title": "loss", "x": "epoch"},
        {"title": "f1", "x": "epoch"},
    ]
    assert points(loss, "train") == [(1, 3), (2, 2)]
    assert points(loss, "val") == [(1, 4), (2, 2)]
    assert points(f1, "val") == [(1, 0.3), (2, 0.6)]
    assert legend(loss) == ["train", "val"]
    assert legend(f1) == ["val"]
    train, val = (band.get_paths()[0].vertices for band in loss.collections)
    assert {(x, y) for x, y in np.round(train, 9)} >= {(1, 2), (1, 4), (2, 1), (2, 3)}
    assert {(x, y) for x, y in np.round(val, 9)} >= {(1, 3), (1, 5), (2, 2)}
    assert note(figure).startswith("Mean of 2 folds and a band of one standard deviation")
    save(figure, tmp_path / "curves.png")


def test_curves_end_where_fewer_than_half_of_the_folds_trained() -> None:
    lengths = (2, 4, 4, 6)
    histories = [[{"train/loss": float(n), "val/loss": 1.0}] * n for n in lengths]
    (ax,) = fold_curves(histories, "loss").axes
    assert points(ax, "train") == [(1, 4), (2, 4), (3, pytest.approx(14 / 3)), (4, pytest.approx(14 / 3))]


def test_values_that_are_not_finite_are_excluded_from_the_mean() -> None:
    histories = [[{"train/loss": 1.0}], [{"train/loss": math.inf}], [{"train/loss": 3.0}]]
    (ax,) = fold_curves(histories, "loss").axes
    assert points(ax, "train") == [(1, 2)]


def test_folds_without_an_epoch_are_an_empty_plot() -> None:
    (ax,) = fold_curves([[], []], "loss").axes
    assert not ax.lines
    assert legend(ax) == []
