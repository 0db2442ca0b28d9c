"""Plots of a sweep, also of few trials."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from dlcli.reports.style import GREY, PALETTE, save
from dlcli.reports.sweep_plots import (
    SettingAxis,
    Tried,
    contour,
    history,
    importance_bars,
    parallel_coordinates,
    pareto,
)
from tests.reports.artists import labelled, legend, note, points, ticks, xy

SCALES = [
    SettingAxis("model", ("mlp", "linear")),
    SettingAxis("model.hidden"),
    SettingAxis("optimizer.lr", log=True),
]
# `model.hidden` exists only where the model is an MLP.
TRIED = [
    Tried(0, {"model": "linear", "optimizer.lr": 0.1}, 0.3),
    Tried(2, {"model": "mlp", "model.hidden": 8, "optimizer.lr": 0.01}, 0.2),
    Tried(3, {"model": "mlp", "model.hidden": 16, "optimizer.lr": 0.001}, 0.1),
    Tried(5, {"model": "mlp", "model.hidden": 32, "optimizer.lr": 0.005}, 30.0),
    Tried(6, {"model": "mlp", "model.hidden": 64, "optimizer.lr": 0.003}, 0.1),
]


def parallel(tried: list[Tried], mode: str = "min") -> Figure:
    figure = parallel_coordinates(tried, SCALES, "val/loss", mode)
    assert figure is not None
    return figure


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_few_trials_and_conditions_are_drawn(trials: int, tmp_path: Path) -> None:
    tried = TRIED[:trials]
    pictures = {
        "history": history(tried, {"pruned": [1], "failed": [4]}, "val/loss", "min"),
        "parallel": parallel_coordinates(tried, SCALES, "val/loss", "min"),
        "contour": contour(tried, SCALES[1], SCALES[2], "val/loss", "min"),
        "pareto": pareto([(t.value, 10.0**t.number, 1.0) for t in tried], [0], ["val/loss", "cost", "time"]),
    }
    assert (pictures["contour"] is not None) == (trials == 5)
    for name, picture in pictures.items():
        if picture is not None:  # a warning would be an error here
            assert save(picture, tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("mode", "best"), [("min", [0.3, 0.2, 0.1, 0.1, 0.1]), ("max", [0.3, 0.3, 0.3, 30, 30])]
)
def test_the_history_has_each_trial_and_the_best_so_far(mode: str, best: list[float]) -> None:
    (ax,) = history(TRIED, {"pruned": [1, 7], "failed": [4]}, "val/loss", mode).axes
    assert labelled(ax) == {"title": "val/loss of the trials", "x": "trial"}
    assert points(ax, "finished") == [(trial.number, trial.value) for trial in TRIED]
    assert points(ax, "best so far") == list(zip([0, 2, 3, 5, 6], best, strict=True))
    (line,) = [line for line in ax.lines if line.get_label() == "best so far"]
    assert line.get_drawstyle() == "steps-post"
    low, high = ax.get_ylim()
    bottom = pytest.approx(low, abs=0.05 * (high - low))
    assert points(ax, "pruned") == [(1, bottom), (7, bottom)]
    assert points(ax, "failed") == [(4, bottom)]
    assert legend(ax) == ["finished", "best so far", "pruned", "failed"]


def test_the_history_of_a_sweep_without_pruned_trials_has_no_mark_of_them() -> None:
    (ax,) = history(TRIED, {"pruned": [], "failed": []}, "val/loss", "min").axes
    assert legend(ax) == ["finished", "best so far"]


def test_an_outlier_does_not_compress_the_history() -> None:
    tried = [Tried(number, {}, 1 + number / 100) for number in range(60)]
    (ax,) = history([*tried, Tried(60, {}, 1e6)], {}, "val/loss", "min").axes
    low, high = ax.get_ylim()
    assert low < 1.0
    assert 1.55 < high < 2.5
    assert points(ax, "finished")[-1] == (60, 1e6)
    (even,) = history(tried, {}, "val/loss", "min").axes
    assert even.get_ylim()[0] < 1.0
    assert even.get_ylim()[1] > 1.59


def test_the_most_important_setting_is_on_top() -> None:
    figure = importance_bars({"optimizer.lr": 0.7, "model.hidden": 0.25, "x" * 50: 0.05}, "val/loss")
    (ax,) = figure.axes
    names = ticks(ax.yaxis)
    assert names[1:] == ["model.hidden", "optimizer.lr"]  # the axis goes up
    assert len(names[0]) == 36
    assert [bar.get_width() for bar in ax.patches] == [0.05, 0.25, 0.7]
    assert [text.get_text() for text in ax.texts] == ["0.05", "0.25", "0.70"]
    assert ax.get_xlim() == pytest.approx((0, 1.15 * 0.7))
    assert labelled(ax) == {"title": "Importance of settings", "x": "share of the variance of val/loss"}
    assert "fANOVA" in note(figure)


def test_settings_without_any_importance_can_be_drawn() -> None:
    (ax,) = importance_bars({"a": 0.0, "b": 0.0}, "val/loss").axes
    assert ax.get_xlim() == (0, 1e-3)


def test_parallel_coordinates_lead_each_trial_through_its_settings() -> None:
    figure = parallel(TRIED)
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "Settings of 5 trials"
    assert ticks(ax.xaxis) == ["model", "model.hidden", "optimizer.lr"]
    assert [xy(line)[0][0] for line in ax.lines[:3]] == [0, 1, 2]  # one axis per setting
    drawn = {tuple(xy(line)) for line in ax.lines[3:]}
    third = pytest.approx((math.log10(0.005) + 3) / 2)
    assert ((0.0, 1.0), (2.0, 1.0)) in drawn  # the linear model has no model.hidden
    assert ((0.0, 0.0), (1.0, 0.0), (2.0, 0.5)) in drawn
    assert any(line[1:] == ((1.0, round(24 / 56, 9)), (2.0, third)) for line in drawn)
    assert len(drawn) == len(TRIED)
    assert note(figure) == "Dark is best, yellow is worst, by val/loss. The best is trial 3: 0.1."


@pytest.mark.parametrize(("mode", "best", "worst"), [("min", 0.0, 1.0), ("max", 1.0, 0.0)])
def test_the_best_trial_is_drawn_last_and_dark(mode: str, best: float, worst: float) -> None:
    tried = [
        Tried(number, {"model": "mlp", "model.hidden": number}, value)
        for number, value in enumerate([0.0, 0.4, 1.0])
    ]
    (ax,) = parallel(tried, mode).axes
    *_, last = ax.lines
    first = ax.lines[2]  # the first two lines are the axes
    assert (xy(first)[1][1], xy(last)[1][1]) == (worst, best)
    viridis = colormaps["viridis"]
    assert to_hex(last.get_color()) == to_hex(viridis(0.0))
    assert to_hex(first.get_color()) == to_hex(viridis(1.0))


def test_the_axes_of_parallel_coordinates_have_their_values() -> None:
    (ax,) = parallel(TRIED).axes
    written = [(round(text.get_position()[0]), text.get_text()) for text in ax.texts]
    assert written == [
        *[(0, "mlp"), (0, "linear")],
        *[(1, "8"), (1, "26.7"), (1, "45.3"), (1, "64")],
        *[(2, "0.001"), (2, "0.00464"), (2, "0.0215"), (2, "0.1")],
    ]


def test_a_single_setting_has_no_parallel_coordinates() -> None:
    assert parallel_coordinates(TRIED, SCALES[:1], "val/loss", "min") is None


def test_a_contour_has_the_trials_and_a_star_for_the_best() -> None:
    figure = contour(TRIED, SCALES[1], SCALES[2], "val/loss", "min")
    assert figure is not None
    (ax,) = figure.axes
    assert labelled(ax) == {"title": "val/loss", "x": "model.hidden", "y": "optimizer.lr"}
    dots = ax.collections[-1]
    hidden, rates = [8, 16, 32, 64], [0.01, 0.001, 0.005, 0.003]
    assert np.asarray(dots.get_offsets()) == pytest.approx(np.column_stack([hidden, np.log10(rates)]))
    assert np.asarray(dots.get_array()).tolist() == pytest.approx([2 / 3, 1 / 6, 1, 1 / 6])  # a tie
    (star,) = ax.lines
    assert (star.get_marker(), xy(star)) == ("*", [(16, -3)])
    assert [ax.yaxis.get_major_formatter()(place, 0) for place in ax.get_yticks()] == [
        "0.001",
        "0.002",
        "0.005",
        "0.01",
    ]
    low, high = ax.get_xlim()
    assert low < 8 < 64 < high
    assert note(figure) == "Trials by rank, smoothed: dark is best, yellow is worst. The star is trial 3."


def test_a_contour_of_names_has_a_tick_for_each() -> None:
    names = SettingAxis("model", ("mlp", "linear", "transformer"))
    tried = [
        Tried(number, {"model": names.names[number % 3], "model.hidden": number}, float(number))
        for number in range(6)
    ]
    figure = contour(tried, names, SCALES[1], "val/accuracy", "max")
    assert figure is not None
    (ax,) = figure.axes
    assert ax.get_xticks().tolist() == [0, 1, 2]
    assert [ax.xaxis.get_major_formatter()(place, 0) for place in range(3)] == list(names.names)
    assert xy(ax.lines[0]) == [(2, 5)]


def test_the_front_of_two_objectives_is_a_line() -> None:
    trials = [(0.5, 10.0), (0.1, 400.0), (0.3, 20.0), (0.9, 900.0)]
    figure = pareto(trials, [1, 2, 0], ["val/loss", "cost"])
    (ax,) = figure.axes
    assert labelled(ax) == {"title": "Pareto front", "x": "val/loss", "y": "cost"}
    assert points(ax, "other trials") == [(0.9, 900)]
    front = [(0.1, 400), (0.3, 20), (0.5, 10)]
    assert points(ax, "Pareto front") == front
    assert xy(ax.lines[-1]) == front
    assert ax.lines[-1].get_linestyle() == "-"
    colours = [to_rgba(line.get_color()) for line in ax.lines]
    assert colours == [to_rgba(GREY), to_rgba(PALETTE[1]), to_rgba(PALETTE[1])]
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")  # costs differ by a factor of 90
    assert legend(ax) == ["other trials", "Pareto front"]
    assert "no other trial is better in all objectives" in note(figure)


def test_three_objectives_are_drawn_in_pairs() -> None:
    trials = [(t.value, 10.0**t.number, 1.0, -1.0) for t in TRIED]
    axes = pareto(trials, [0], ["val/loss", "cost", "time", "memory"]).axes
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [
        ("val/loss", "cost"),
        ("val/loss", "time"),
        ("cost", "time"),
    ]
    assert [(ax.get_xscale(), ax.get_yscale()) for ax in axes] == [
        ("log", "log"),
        ("log", "linear"),
        ("log", "linear"),
    ]
    assert points(axes[2], "Pareto front") == [(1, 1)]
    assert points(axes[2], "other trials") == [(10.0**t.number, 1) for t in TRIED[1:]]
    assert all(len(ax.lines) == 2 for ax in axes)  # the front is a surface
