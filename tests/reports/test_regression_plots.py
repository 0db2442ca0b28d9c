"""Plots of predicted numbers, of calibration and of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcli.reports.classification import BINS, reliability
from dlcli.reports.image_grid import COLUMNS, MOST, image_grid
from dlcli.reports.regression_plots import (
    INTERVALS,
    PANELS,
    POINTS,
    intervals,
    predicted_vs_actual,
    residuals,
)
from dlcli.reports.style import save
from tests.reports.artists import labelled, legend, note, points, xy


@pytest.mark.parametrize("picture", [predicted_vs_actual, residuals])
@pytest.mark.parametrize(("rows", "targets"), [(1, 1), (40, 2), (POINTS + 1, PANELS + 2)])
def test_any_number_of_rows_and_targets_can_be_drawn(
    picture, rows: int, targets: int, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=(rows, targets))
    figure = picture(y, y + 0.1, [f"$ target {index}" for index in range(targets)])
    assert len(figure.axes) == min(targets, PANELS)
    note = figure.get_supxlabel()
    assert ("of 5,001 rows are plotted" in note) == (rows > POINTS)
    assert ("Not shown" in note) == (targets > PANELS)
    save(figure, tmp_path / "picture.png")


def test_predictions_stand_over_the_actual_values() -> None:
    y, predicted = np.array([[1.0, 5.0], [3.0, 7.0]]), np.array([[2.0, 5.0], [0.0, 8.0]])
    figure = predicted_vs_actual(y, predicted, ["price", "$ of area"])
    first, second = figure.axes
    assert labelled(first) == {"title": "price", "x": "actual", "y": "predicted"}
    assert second.get_title(loc="left") == r"\$ of area"
    diagonal, dots = first.lines
    assert xy(diagonal) == [(0, 0), (3, 3)]
    assert xy(dots) == [(1, 2), (3, 0)]
    assert xy(second.lines[0]) == [(5, 5), (8, 8)]
    assert xy(second.lines[1]) == [(5, 5), (7, 8)]
    assert note(figure) == ""


def test_an_even_sample_of_many_rows_is_plotted() -> None:
    y = np.arange(2.0 * POINTS + 1)[:, None]
    (ax,) = predicted_vs_actual(y, y, ["price"]).axes
    drawn = xy(ax.lines[1])
    assert len(drawn) == POINTS
    assert (drawn[0], drawn[-1]) == ((0, 0), (2 * POINTS, 2 * POINTS))


def test_residuals_stand_over_the_predictions_with_a_band_of_their_spread() -> None:
    y, predicted = np.array([[1.0], [3.0], [5.0]]), np.array([[1.0], [1.0], [2.0]])
    (ax,) = residuals(y, predicted, ["price"]).axes
    assert labelled(ax)["x"] == "predicted"
    assert labelled(ax)["y"] == "actual - predicted"
    zero, mean, dots = ax.lines
    average, spread = 5 / 3, float(np.std([0, 2, 3]))
    assert [y for _, y in xy(zero)] == [0, 0]
    assert [y for _, y in xy(mean)] == pytest.approx([average, average])
    assert xy(dots) == [(1, 0), (1, 2), (2, 3)]
    (band,) = ax.patches
    box = band.get_extents().transformed(ax.transData.inverted())
    assert (box.y0, box.y1) == pytest.approx((average - spread, average + spread))


def test_residuals_tell_their_mean_and_spread() -> None:
    figure = residuals(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]]), ["price"])
    assert figure.axes[0].get_title(loc="left") == "price: 2 ± 1"


@pytest.mark.parametrize(("rows", "targets"), [(1, 1), (INTERVALS + 1, PANELS + 1)])
def test_intervals_say_how_often_they_hold(rows: int, targets: int, tmp_path: Path) -> None:
    y = np.arange(rows * targets, dtype=float).reshape(rows, targets)
    quantiles = y[..., None] + [-1.0, 0.5, 2.0]
    quantiles[0] += 10
    figure = intervals(y, quantiles, [f"t{index}" for index in range(targets)], (0.05, 0.5, 0.95))
    assert len(figure.axes) == min(targets, PANELS)
    share = (rows - 1) / rows
    assert figure.axes[0].get_title(loc="left") == f"t0: {share:.3g} inside, 0.9 expected"
    save(figure, tmp_path / "picture.png")


def test_intervals_stand_in_the_order_of_their_medians() -> None:
    y = np.array([[5.0], [0.0], [9.0]])
    quantiles = np.array([[[4.0, 5.5, 6.0]], [[-1.0, 0.5, 1.0]], [[2.0, 3.0, 4.0]]])
    figure = intervals(y, quantiles, ["price"], (0.1, 0.5, 0.9))
    (ax,) = figure.axes
    assert labelled(ax) == {
        "title": "price: 0.667 inside, 0.8 expected",
        "x": "rows, sorted by median",
        "y": "q0.1 to q0.9, and actual",
    }
    (bars,) = ax.collections
    assert [segment.tolist() for segment in bars.get_segments()] == [
        [[0, -1], [0, 1]],
        [[1, 2], [1, 4]],
        [[2, 4], [2, 6]],
    ]
    assert points(ax, "median") == [(0, 0.5), (1, 3), (2, 5.5)]
    assert points(ax, "actual, inside") == [(0, 0), (2, 5)]
    assert points(ax, "actual, outside") == [(1, 9)]
    assert legend(ax) == ["median", "actual, inside", "actual, outside"]


def test_rows_that_are_not_numbers_are_left_out_and_reported(tmp_path: Path) -> None:
    y = np.array([[1.0], [2.0], [3.0]])
    figure = predicted_vs_actual(y, np.array([[1.0], [np.nan], [3.0]]), ["price"])
    assert figure.get_supxlabel().startswith("1 of 3 rows have non-finite values")
    assert xy(figure.axes[0].lines[1]) == [(1, 1), (3, 3)]
    save(residuals(y, np.full((3, 1), np.nan), ["price"]), tmp_path / "empty.png")


def test_the_reliability_diagram_has_its_error(tmp_path: Path) -> None:
    # Two cases with probability 90 %, one of which occurred; two with 10 %, neither of which occurred.
    figure = reliability([1, 0, 0, 0], [0.9, 0.9, 0.1, 0.1], "rain")
    assert figure.axes[0].texts[0].get_text() == "calibration error 0.2500"
    assert figure.axes[0].get_title(loc="left") == "Reliability of rain"
    ax = figure.axes[0]
    assert labelled(ax)["x"] == "predicted probability"
    assert labelled(ax)["y"] == "observed frequency"
    assert xy(ax.lines[0]) == [(0, 0), (1, 1)]
    deviations, dots = ax.collections
    assert np.asarray(dots.get_offsets()) == pytest.approx(np.array([[0.1, 0.0], [0.9, 0.5]]))
    assert dots.get_sizes() == pytest.approx([12 + 280 * 0.5] * 2)
    assert np.concatenate(deviations.get_segments()) == pytest.approx(
        np.array([[0.1, 0.1], [0.1, 0.0], [0.9, 0.9], [0.9, 0.5]])
    )
    assert note(figure) == f"4 cases in {BINS} bins; the area of a dot is the bin's share of the cases."
    save(figure, tmp_path / "picture.png")
    empty = reliability([1, 0], [np.nan, np.nan], "rain")
    assert [text.get_text() for text in empty.axes[0].texts] == ["no finite probability"]
    save(empty, tmp_path / "empty.png")


def test_the_last_bin_of_a_reliability_diagram_has_the_probability_1() -> None:
    (ax,) = reliability([1, 1, 0], [1.0, 1.0, 0.95], "rain").axes
    assert np.asarray(ax.collections[1].get_offsets()) == pytest.approx(np.array([[2.95 / 3, 2 / 3]]))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (6, 9, 3)])
@pytest.mark.parametrize("count", [0, 1, MOST + 1])
def test_images_of_any_shape_stand_in_a_grid(shape: tuple[int, ...], count: int, tmp_path: Path) -> None:
    images = np.zeros((count, *shape), np.uint8)
    figure = image_grid(images, ["three, taken for five (99%)"] * count, "all of them")
    assert len(figure.axes[0].images) == min(count, MOST)
    save(figure, tmp_path / "picture.png")


def test_images_stand_row_by_row_unchanged_with_their_captions() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, size=(COLUMNS + 1, 4, 8, 3), dtype=np.uint8)
    captions = [f"image {index}" for index in range(COLUMNS)] + [
        "a caption of more than twenty characters, $x$"
    ]
    figure = image_grid(images, captions, "the worst first")
    (ax,) = figure.axes
    for shown, image in zip(ax.images, images, strict=True):
        assert np.asarray(shown.get_array()).tolist() == image.tolist()
        assert shown.get_interpolation() == "nearest"
        left, right, bottom, top = shown.get_extent()
        assert abs(right - left) == pytest.approx(2 * abs(bottom - top))  # as wide as the image is
    lefts, tops = ([shown.get_extent()[side] for shown in ax.images] for side in (0, 3))
    assert lefts[:-1] == sorted(lefts[:-1])
    assert len(set(tops[:-1])) == 1
    assert (lefts[-1], tops[-1] > tops[0]) == (
        lefts[0],
        True,
    )  # the next row, further down: the axis is inverted
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts] == [
        *captions[:-1],
        "a caption of more\nthan twenty\ncharacters, \\$x\\$",
    ]
    assert note(figure) == "the worst first"


def test_grey_images_are_drawn_from_black_to_white() -> None:
    (ax,) = image_grid(np.full((1, 8, 8, 1), 100, np.uint8), ["grey"]).axes
    (shown,) = ax.images
    assert (shown.get_cmap().name, shown.get_clim()) == ("gray", (0, 255))
    assert np.asarray(shown.get_array()).shape == (8, 8)
