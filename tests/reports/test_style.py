"""The style of all plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dlcli.reports.style import DPI, caption, head, label_axes, listed, literal, new_figure, save, shorten
from tests.reports.artists import labelled


def test_a_saved_figure_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    figure, axes = new_figure(3, width=6.0, height=2.5)
    assert len(axes) == 3
    with Image.open(save(figure, tmp_path / "plot.png")) as image:
        assert image.size == (round(6.0 * DPI), round(2.5 * DPI))
        assert image.info["Software"] == "dlcli"
    assert not list(tmp_path.glob("*.tmp"))


def test_axes_are_described_on_the_left() -> None:
    _, (ax,) = new_figure()
    label_axes(ax, "loss", "epoch", "nats")
    assert labelled(ax) == {"title": "loss", "x": "epoch", "y": "nats"}
    assert ax.get_title(loc="center") == ""


def test_a_caption_is_broken_to_the_width_of_the_figure() -> None:
    figure, _ = new_figure(width=2.0)
    caption(figure, "These words do not fit into a single line. $\nNeither does this.")
    lines = figure.get_supxlabel().split("\n")
    assert all(len(line) <= 28 for line in lines)
    assert " ".join(lines) == r"These words do not fit into a single line. \$ Neither does this."


@pytest.mark.parametrize(
    ("name", "short"),
    [("short", "short"), ("a" * 20, "a" * 20), ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklm…uvwxyz")],
)
def test_long_names_lose_their_middle(name: str, short: str) -> None:
    assert shorten(name) == short
    assert len(short) <= 20


def test_a_list_of_names_ends_with_the_number_of_others() -> None:
    names = [f"n{index}" for index in range(12)]
    assert listed(names[:8]) == "n0, n1, n2, n3, n4, n5, n6, n7"
    assert listed(names) == "n0, n1, n2, n3, n4, n5, n6, n7 and 4 more"


def test_control_characters_are_shown_in_a_saved_figure(tmp_path: Path) -> None:
    assert literal("a\x1bb $5") == r"a\x1bb \$5"
    figure, (ax,) = new_figure()
    ax.set_title("a\x1bb")
    save(figure, tmp_path / "plot.png")
    assert ax.get_title() == r"a\x1bb"


def test_a_figure_is_labelled_and_separates_thousands(tmp_path: Path) -> None:
    figure, (ax,) = new_figure(width=3.0)
    ax.plot([0, 20_000], [0.0, 0.5])
    save(figure, tmp_path / "plot.png", "a$b$ · data\x1b · " + "rows " * 20)
    assert figure.get_suptitle().startswith(r"a\$b\$ · data\x1b · rows")
    assert len(figure.get_suptitle()) <= 50
    assert "20,000" in [label.get_text() for label in ax.get_xticklabels()]
    assert "0.5" in [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("lines", [0, 3])
@pytest.mark.parametrize("is_square", [False, True])
@pytest.mark.parametrize("largest", [0.0001, 2_500_000.0])
def test_plots_in_a_row_lie_where_the_constrained_layout_places_them(
    columns: int, lines: int, is_square: bool, largest: float, tmp_path: Path
) -> None:
    def drawn() -> Figure:
        figure, axes = new_figure(columns, width=5 * columns, height=4)
        for number, ax in enumerate(axes):
            ax.plot([0, 1], [0, 1 if is_square else largest / (1 + number)], label="a curve")
            ax.set_xticks([0, 1], ["none", "a long name of a class"])
            if is_square:
                ax.set(aspect="equal", anchor="W")
            ax.legend(loc="lower right", bbox_to_anchor=(1, 1))
            label_axes(ax, "loss", "epoch", "nats" if number == 0 else "")
        caption(figure, "\n".join(["A sentence."] * lines))
        return figure

    ours, theirs = drawn(), drawn()
    save(ours, tmp_path / "plot.png", "a run, its data and rows")
    head(theirs, "a run, its data and rows")
    theirs.draw_without_rendering()
    places, others = ([ax.get_position().bounds for ax in figure.axes] for figure in (ours, theirs))
    assert places == [pytest.approx(other, abs=0.01) for other in others]
    titles = [[text.get_position() for text in figure.texts] for figure in (ours, theirs)]
    assert titles[0] == [pytest.approx(place, abs=1e-5) for place in titles[1]]


def test_bars_of_colours_have_a_place_of_their_own(tmp_path: Path) -> None:
    figure, axes = new_figure(2, width=8)
    figure.colorbar(axes[1].scatter([0, 1], [0, 1], c=[0.0, 1.0]), ax=axes[1])
    save(figure, tmp_path / "plot.png")
    left, right, bar = (ax.get_position() for ax in figure.axes)
    assert left.x1 < right.x0 < right.x1 < bar.x0


def test_a_drawing_is_written_as_matplotlib_writes_it(tmp_path: Path) -> None:
    figure, (ax,) = new_figure(width=3, height=2)
    ax.plot([0, 1], [0, 1])
    save(figure, tmp_path / "ours.png")
    FigureCanvasAgg(figure).print_png(tmp_path / "theirs.png", metadata={"Software": "dlcli"})
    with Image.open(tmp_path / "ours.png") as ours, Image.open(tmp_path / "theirs.png") as theirs:
        assert np.array_equal(np.asarray(ours), np.asarray(theirs.convert("RGB")))
        assert ours.info == theirs.info


def test_labels_that_leave_no_room_do_not_prevent_a_plot(tmp_path: Path) -> None:
    figure, (ax,) = new_figure(width=1, height=1)
    label_axes(ax, "x" * 200, "epoch\n" * 20, "nats")
    assert save(figure, tmp_path / "plot.png", "a run").is_file()
