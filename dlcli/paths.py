"""Paths as people read them."""

from __future__ import annotations

from pathlib import Path


def display(path: Path) -> str:
    """The path as a person at the prompt would write it: relative where it lies below the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
