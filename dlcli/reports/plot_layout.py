"""Place the plots of a figure: `make_room` measures the labels once or twice, the constrained layout more often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

# Margins of a plot with labels of the usual lengths, relative to the figure: left, right, bottom and top.
_USUAL = (0.11, 0.02, 0.11, 0.11)

# A change of a margin, relative to the figure, that does not change the labels of ticks much.
_SMALL = 0.05

# Inches around a plot and its titles, and the least margin between columns as a share of the figure, divided by the
# number of columns: those of matplotlib's constrained layout.
_PADDING = 1 / 24
_BETWEEN = 0.01


@dataclass(frozen=True)
class _Margins:
    """Margins of the plots of a row, relative to the figure.

    Args:
        beside: left and right of each plot, `(N, 2)`.
        below: below all plots.
        above: above all plots.
    """

    beside: np.ndarray
    below: float
    above: float

    @property
    def width(self) -> float:
        """Width of each plot."""
        return float(1 - self.beside.sum()) / len(self.beside)

    def places(self) -> list[Bbox]:
        """Return the places of the plots, which are equally wide."""
        before = self.beside.sum(axis=1).cumsum() - self.beside[:, 1]
        lefts = before + self.width * np.arange(len(before))
        return [Bbox.from_extents(x, self.below, x + self.width, 1 - self.above) for x in lefts]

    def leave_room(self) -> bool:
        """Return whether the plots have a size."""
        return self.width > 0 and self.below + self.above < 1

    def change(self, other: _Margins) -> float:
        """Return the largest difference of a margin."""
        beside = float(np.abs(self.beside - other.beside).max())
        return max(beside, abs(self.below - other.below), abs(self.above - other.above))


def is_row(figure: Figure) -> bool:
    """Return whether the figure consists of plots in one row, without a legend of its own or bars of colours."""
    specs = [ax.get_subplotspec() for ax in figure.axes]
    if figure.legends or not specs:
        return False
    places = [(spec.get_geometry()[:2], spec.colspan.start) for spec in specs if spec is not None]
    return places == [((1, len(specs)), column) for column in range(len(specs))]


def make_room(figure: Figure, canvas: FigureCanvasAgg) -> None:
    """Place a row of plots so that labels and titles fit, as the constrained layout does."""
    axes = figure.axes
    renderer, to_figure = canvas.get_renderer(), figure.transFigure.inverted()
    across, up = (_PADDING / inches for inches in figure.get_size_inches())
    above = below = up
    for text in figure.texts:
        is_above = text.get_verticalalignment() == "top"
        text.set_y(1 - up if is_above else up)
        height = text.get_window_extent(renderer).transformed(to_figure).height + 2 * up
        above, below = (above + height, below) if is_above else (above, below + height)
    beside = np.full(2 * len(axes), across)
    beside[1:-1] = max(across, _BETWEEN / len(axes))
    left, right, *others = _USUAL
    margins = _Margins(np.tile([left / len(axes), right / len(axes)], (len(axes), 1)), *others)
    for _ in range(2):  # the labels of ticks depend on the size
        places = _place(axes, margins)
        taken = [ax.get_tightbbox(renderer, for_layout_only=True) for ax in axes]
        seen = [box.transformed(to_figure) for box in taken if box is not None]
        if len(seen) < len(axes):  # nothing is visible
            return
        pairs = list(zip(places, seen, strict=True))
        labels = np.array([[place.x0 - box.x0, box.x1 - place.x1] for place, box in pairs])
        found = _Margins(
            np.maximum(0, beside.reshape(-1, 2) + labels),
            max(0, *(below + place.y0 - box.y0 for place, box in pairs)),
            max(0, *(above + box.y1 - place.y1 for place, box in pairs)),
        )
        if not found.leave_room():
            return
        is_close = found.change(margins) < _SMALL
        _place(axes, margins := found)
        if is_close:
            return


def _place(axes: list[Axes], margins: _Margins) -> list[Bbox]:
    """Place the plots of a row, and return their places."""
    places = margins.places()
    for ax, place in zip(axes, places, strict=True):
        ax.set_position(place)
    return places
