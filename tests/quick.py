"""Shortcuts of the tests and their processes: no waiting for the disk, coarse plots, commands that are built once.

What is made once in a file of tests, or fewer times than users have it made, is tested in full where it is the subject.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A picture of one pixel.
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)


def forget_the_disk(patch: pytest.MonkeyPatch) -> None:
    """The disk is not waited for, which only a power cut would show."""
    from dlcli.tracking import database

    connect = database._connect

    def connected(file: Path, mode: str) -> sqlite3.Connection:
        connection = connect(file, mode)
        no_waiting(connection, None)
        return connection

    patch.setattr(os, "fsync", lambda descriptor: None)
    patch.setattr(database, "_connect", connected)


def no_waiting(connection: Any, record: Any) -> None:
    """A listener of SQLAlchemy's engines."""
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # a file of something else: MLflow says so later
            connection.execute("PRAGMA synchronous = OFF")


class Sketch:
    """Stands for a figure, its axes and whatever is drawn in them, of a picture that has been drawn before."""

    def __getattr__(self, name: str) -> Any:
        return _OF_FIGURES.get(name, self)

    def __call__(self, *_: Any, **__: Any) -> Sketch:
        return self

    def __getitem__(self, _: Any) -> Sketch:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())


# What plots ask of their figures.
_OF_FIGURES = {name: lambda: (0.0, 1.0) for name in ("get_xlim", "get_ylim", "get_view_interval")}
_OF_FIGURES["get_figwidth"] = lambda: 6.4


def _place() -> tuple[Any, ...]:
    """Return where in the code a figure is made: the function that calls `new_figure`, and two of its callers."""
    frame = sys._getframe(3)
    found = []
    for _ in range(3):
        found.append((frame.f_code, frame.f_lineno))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(found)


def draw_coarsely(patch: pytest.MonkeyPatch) -> None:
    """Plots have few pixels and no layout, and each is made and drawn once: the next one of its name is a dot.

    Making and drawing them takes longer than a small training run.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from dlcli.reports import style

    draw, figure_class = style._draw, style.Figure
    drawn: set[str] = set()
    places: set[tuple[Any, ...]] = set()

    def make_once(**options: Any) -> Any:
        place = _place()
        if place in places:
            return Sketch()
        figure = figure_class(**options)
        figure.place = place  # type: ignore[attr-defined]
        return figure

    def draw_once(figure: Figure | Sketch, path: Path) -> None:
        if path.name in drawn or isinstance(figure, Sketch):
            path.write_bytes(DOT)
        else:
            draw(figure, path)
            drawn.add(path.name)
        if hasattr(figure, "place"):
            places.add(figure.place)

    patch.setattr(style, "DPI", 20)
    patch.setattr(style, "Figure", make_once)
    patch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)
    patch.setattr(style, "_draw", draw_once)


def draw_few_rows(patch: pytest.MonkeyPatch) -> None:
    """The bootstrap of a metric such as BLEU computes it 1,000 times, which takes longer than the training run."""
    patch.setattr("dlcli.statistics.paired._MOST_DRAWS", 200)


def build_commands_once(patch: pytest.MonkeyPatch) -> None:
    """`CliRunner` would have typer build all of dlcli's commands again for each one that it invokes."""
    patch.setattr("typer.testing._get_command", cache(get_command))
