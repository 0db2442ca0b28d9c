"""Add the columns of a table to the message on a missing `dataset.target`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices
from dlcli.datasets.tables.read_table import read_table
from dlcli.errors import DlcliError, Problem

_TARGET = "dataset.target"


def with_columns(problems: Sequence[Problem], dataset: Mapping[str, Any]) -> list[Problem]:
    """Return the problems; the one about a missing target lists the columns of the table, if it can be read."""
    missing = [p for p in problems if p.where == _TARGET and p.message.startswith("is required")]
    path = dataset.get("path")
    if not missing or not isinstance(path, str):
        return list(problems)
    try:
        names = [str(name) for name in read_table(Path(path)).frame.columns]
    except (DlcliError, OSError):  # problems of the file are reported once there is a target
        return list(problems)
    offered = choices(names).replace("Choices:", "Its columns:")
    hint = f"Add the column to predict, such as {pasted(_TARGET, names[-1])}. {offered}"
    return [replace(p, hint=hint) if p in missing else p for p in problems]
