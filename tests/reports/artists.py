"""Read the content of a figure from its artists: lines, texts and labels as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def points(ax: Axes, label: str) -> list[tuple[float, float]]:
    """Return the points of the only line with this label."""
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return xy(line)


def xy(line: Any) -> list[tuple[float, float]]:
    """Return the points of a line, rounded so that they compare equal."""
    x, y = (np.asarray(values, dtype=float).round(9).tolist() for values in line.get_data())
    return list(zip(x, y, strict=True))


def labelled(ax: Axes) -> dict[str, str]:
    """Return title and labels of the axes, as far as there are any."""
    texts = {"title": ax.get_title(loc="left"), "x": ax.get_xlabel(), "y": ax.get_ylabel()}
    return {name: text for name, text in texts.items() if text}


def legend(ax: Axes) -> list[str]:
    """Return the texts of the legend."""
    found = ax.get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def ticks(axis: Any) -> list[str]:
    """Return the texts of fixed tick labels."""
    return [label.get_text() for label in axis.get_ticklabels()]


def note(figure: Figure) -> str:
    """Return the caption on one line."""
    return figure.get_supxlabel().replace("\n", " ")
