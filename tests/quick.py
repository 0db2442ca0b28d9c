"""What tests do without: waiting for the disk, fine plots (processes that they start, too), building commands anew."""

from __future__ import annotations

import base64
import os
import sqlite3
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


def draw_coarsely(patch: pytest.MonkeyPatch) -> None:
    """Plots have few pixels and no layout, and each is drawn once: the next one of its name is a dot.

    Drawing takes longer than a small training run.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from dlcli.reports import style

    draw = style._draw
    drawn: set[str] = set()

    def draw_once(figure: Figure, path: Path) -> None:
        if path.name in drawn:
            path.write_bytes(DOT)
        else:
            draw(figure, path)
            drawn.add(path.name)

    patch.setattr(style, "DPI", 20)
    patch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)
    patch.setattr(style, "_draw", draw_once)


def build_commands_once(patch: pytest.MonkeyPatch) -> None:
    """`CliRunner` would have typer build all of dlcli's commands again for each one that it invokes."""
    patch.setattr("typer.testing._get_command", cache(get_command))
