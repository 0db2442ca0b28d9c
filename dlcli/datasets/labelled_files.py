"""Rows whose labels and parts are the names of their folders, or stand beside them in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.datasets.data import Data, Kind
from dlcli.datasets.evaluation_only import judged_targets
from dlcli.errors import DataError


def labelled(
    place: Path,
    kind: Kind,
    x: Any,
    labels: Sequence[Any],
    parts: Sequence[str],
    target: str = "class",
    **more: Any,
) -> Data:
    """Rows with a label each, and which of them were set aside.

    Args:
        place: where they come from.
        kind: of the rows.
        x: the rows.
        labels: names of classes, or floats, which are a regression's targets.
        parts: train, val or test; empty where rows are of none.
        target: the targets' name.
        more: of `Data`.

    Raises:
        DataError: all rows are of one class, and are to be learnt from.
    """
    val, test = (np.flatnonzero(np.asarray(parts) == part) for part in ("val", "test"))
    common = {
        "name": place.name.partition(".")[0],
        "kind": kind,
        "x": x,
        "source": str(place),
        "val_rows": val if len(val) else None,
        "test_rows": test if len(test) else None,
        "parts": np.asarray(parts) if any(parts) else None,
        **more,
    }
    if isinstance(labels[0], float):
        return Data(**common, y=np.array(labels, np.float64), targets=(target,))
    classes = sorted({str(label) for label in labels}, key=_natural)
    if len(classes) < 2 and not judged_targets():
        raise DataError(
            f"there is only one class: {classes[0]}",
            str(place),
            "At least two are needed to tell them apart.",
        )
    code = {name: number for number, name in enumerate(classes)}
    y = np.array([code[str(label)] for label in labels], np.int64)
    return Data(**common, y=y, classes=tuple(classes))


def _natural(name: str) -> tuple[int, int, str]:
    """Numbers as numbers, in front of words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
