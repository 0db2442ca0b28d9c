"""The critical-difference diagram."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dlcli.comparison.critical_difference import critical_difference
from dlcli.reports.style import save
from dlcli.statistics.mean_ranks import Ranking
from tests.reports.artists import labelled, note, ticks, xy

NAMES = ("mlp", "cnn", "a model whose name is longer than the axis has room for", "$linear")
RANKING = Ranking(ranks=(1.5, 1.2, 3.9, 3.4), p=0.012, critical_difference=1.0)


@pytest.fixture
def figure() -> Figure:
    return critical_difference(NAMES, RANKING, "balanced_$accuracy")


def test_models_stand_on_their_mean_ranks_the_best_on_top(figure: Figure, tmp_path: Path) -> None:
    (ax,) = figure.axes
    assert xy(ax.lines[0]) == [(1.2, 0), (1.5, 1), (3.4, 2), (3.9, 3)]
    names = ticks(ax.yaxis)
    assert (names[:2], names[2]) == (["cnn", "mlp"], r"\$linear")
    assert len(names[3]) == 32
    bottom, top = ax.get_ylim()
    assert bottom > top  # the first model is on top
    assert ax.get_xlim() == (0.9, 4.1)
    assert labelled(ax) == {"x": r"mean rank by balanced_\$accuracy (1 is the best)"}
    save(figure, tmp_path / "ranks.png")


def test_a_bar_joins_the_models_that_do_not_differ_significantly(figure: Figure) -> None:
    (ax,) = figure.axes
    bars = [xy(line) for line in ax.lines if line.get_linewidth() == 3]
    assert bars == [[(1.2, -0.5), (1.5, -0.5)], [(3.4, -0.75), (3.9, -0.75)]]
    drops = [xy(line) for line in ax.lines if line.get_linewidth() == 0.6]
    assert drops == [[(rank, -0.5), (rank, place)] for place, rank in enumerate([1.2, 1.5, 3.4, 3.9])]
    assert note(figure) == (
        "Friedman test p = 0.012. Bars join models whose mean ranks differ by less than 1.00 (Nemenyi, 5 %): "
        "these are not significantly different."
    )


def test_models_that_all_differ_have_no_bar() -> None:
    ranking = Ranking(ranks=(1.0, 2.0, 3.0), p=0.001, critical_difference=0.9)
    (ax,) = critical_difference(["a", "b", "c"], ranking, "f1").axes
    assert not [line for line in ax.lines if line.get_linewidth() == 3]
