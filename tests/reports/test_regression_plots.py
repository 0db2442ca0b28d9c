"""Pictures of numbers, of calibration, and of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcli.reports.classification import reliability
from dlcli.reports.images import MOST, image_grid
from dlcli.reports.regression_plots import (
    INTERVALS,
    PANELS,
    POINTS,
    intervals,
    predicted_vs_actual,
    residuals,
)
from dlcli.reports.style import save


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


def test_rows_that_are_no_numbers_are_left_out_and_said(tmp_path: Path) -> None:
    y = np.array([[1.0], [2.0], [3.0]])
    figure = predicted_vs_actual(y, np.array([[1.0], [np.nan], [3.0]]), ["price"])
    assert figure.get_supxlabel().startswith("1 of 3 rows have non-finite values")
    save(residuals(y, np.full((3, 1), np.nan), ["price"]), tmp_path / "empty.png")


def test_the_reliability_diagram_has_its_error(tmp_path: Path) -> None:
    # Held 90 % likely and true in half of the cases, held 10 % likely and never true.
    figure = reliability([1, 0, 0, 0], [0.9, 0.9, 0.1, 0.1], "rain")
    assert figure.axes[0].texts[0].get_text() == "calibration error 0.2500"
    assert figure.axes[0].get_title(loc="left") == "Reliability of rain"
    save(figure, tmp_path / "picture.png")
    save(reliability([1, 0], [np.nan, np.nan], "rain"), tmp_path / "empty.png")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (6, 9, 3)])
@pytest.mark.parametrize("count", [0, 1, MOST + 1])
def test_images_of_any_shape_stand_in_a_grid(shape: tuple[int, ...], count: int, tmp_path: Path) -> None:
    images = np.zeros((count, *shape), np.uint8)
    figure = image_grid(images, ["three, taken for five (99%)"] * count, "all of them")
    assert len(figure.axes[0].images) == min(count, MOST)
    save(figure, tmp_path / "picture.png")
