"""The style of dlcli's plots.

Figures are created with matplotlib's object-oriented interface. It does not change pyplot's global state or `rcParams`,
so that plots can be drawn in threads and next to those of a notebook.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dlcli.reports.plot_layout import is_row, make_room
from dlcli.sanitize.escapes import visible, visible_name

DPI = 120
FONT = {"title": 11, "label": 10, "tick": 9, "small": 8}
INK, GREY, GRID = "#222222", "#9a9a9a", "#e4e4e4"

# Okabe and Ito, "Color Universal Design" (2008), without black (used for text) and yellow (too pale on white).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
TRAIN, VAL = PALETTE[0], PALETTE[1]


def new_figure(columns: int = 1, width: float = 6.4, height: float = 4.4) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of `width` x `height` inches with the style applied, and its axes in one row."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for ax in axes:
        ax.set_axisbelow(True)
        ax.grid(True, color=GRID, linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(thousands)
            axis.isDefault_majfmt = True  # axes of dates and names get their own
        ax.tick_params(labelsize=FONT["tick"], color=GREY, labelcolor=INK)
    return figure, axes


def label_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """Set title and axis labels."""
    ax.set_title(title, fontsize=FONT["title"], color=INK, loc="left")
    ax.set_xlabel(x, fontsize=FONT["label"], color=INK)
    ax.set_ylabel(y, fontsize=FONT["label"], color=INK)


def caption(figure: Figure, text: str) -> None:
    """Write sentences under the plot, wrapped to its width."""
    if text:
        characters = int(figure.get_figwidth() * 13.5)
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, characters)]
        figure.supxlabel(literal("\n".join(lines)), fontsize=FONT["tick"], color="#444444", x=0.02, ha="left")


def literal(text: str) -> str:
    """Escape a user's text: `$...$` is not a formula, and control characters become visible."""
    return visible(text).replace("$", r"\$")


def shorten(name: str, length: int = 20) -> str:
    """Shorten a long name by replacing its middle with an ellipsis."""
    name = visible_name(name)
    if len(name) <= length:
        return name
    tail = (length - 1) // 3
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def listed(names: Sequence[str], at_most: int = 8) -> str:
    """Return names as `a, b, c and 4 more`."""
    shown = ", ".join(shorten(name) for name in names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"


def thousands(value: float, _: object = None) -> str:
    """Return the label of a tick or of a cell: thousands are separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 and float(value).is_integer() else f"{value:.6g}"


def head(figure: Figure, about: str) -> None:
    """Write the run, data and rows above a figure."""
    characters = int(figure.get_figwidth() * 15)
    text = about if len(about) <= characters else f"{about[: characters - 1]}…"
    figure.suptitle(literal(visible_name(text)), fontsize=FONT["small"], color="#666666", x=0.02, ha="left")


def save(figure: Figure, path: Path, about: str = "") -> Path:
    """Write the figure as PNG and return the path; `about` names run, data and rows."""
    if about:
        head(figure, about)
    _draw(figure, path)
    return path


def _draw(figure: Figure, path: Path) -> None:
    for text in _texts(figure):
        text.set_text(visible(text.get_text()))
    canvas = FigureCanvasAgg(figure)
    # savefig would draw the figure twice in order to compute the layout. Here the layout is computed without drawing.
    engine = figure.get_layout_engine()
    if engine is not None:
        if not (simple := is_row(figure)):
            engine.execute(figure)
        figure.set_layout_engine("none")
        if simple:
            make_room(figure, canvas)
    canvas.draw()
    # Opacity, which matplotlib's files have, and more compression would double the time for the same size.
    picture = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    facts = PngInfo()
    facts.add_text("Software", "dlcli")
    picture.save(path, "png", compress_level=3, dpi=(figure.dpi, figure.dpi), pnginfo=facts)


def _texts(artist: Artist) -> Iterator[Text]:
    """Yield the texts of a figure, except the labels of ticks, which their formatters write when they are drawn."""
    if isinstance(artist, Text):
        yield artist
    for child in (artist.label, artist.offsetText) if isinstance(artist, Axis) else artist.get_children():
        yield from _texts(child)
