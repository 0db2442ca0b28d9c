"""Build `Data` of files with a label and a part each, from folder names or a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.datasets.data import Data, Kind
from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.images.image_loading import Images
from dlcli.datasets.notices import Notice
from dlcli.datasets.untrained import untrained_classes
from dlcli.errors import DataError


def labelled(
    place: Path,
    kind: Kind,
    x: Any,
    labels: Sequence[Any],
    parts: Sequence[str],
    targets: Sequence[str] = (),
    **more: Any,
) -> Data:
    """Return `Data` of labelled rows with their predefined parts.

    Args:
        place: source of the rows.
        kind: kind of the rows.
        x: the rows.
        labels: class names, or floats, which are regression targets; or tuples of several targets, in which whole
            numbers are labels.
        parts: train, val or test for each row, or "".
        targets: names of the targets.
        more: further attributes of `Data`.

    Raises:
        DataError: all training rows have the same class.
    """
    common: dict[str, Any] = {"kind": kind, "x": x, **of_place(place, parts), **more}
    if isinstance(labels[0], tuple) and isinstance(labels[0][0], int):
        return Data(**common, y=np.array(labels, np.int64), classes=tuple(targets))
    if isinstance(labels[0], tuple | float):
        return Data(**common, y=np.array(labels, np.float64), targets=tuple(targets) or ("class",))
    classes = sorted({str(label) for label in labels}, key=_natural)
    if len(classes) < 2 and not evaluation_targets():
        raise DataError(
            f"there is only one class: {classes[0]}",
            str(place),
            "Give at least two classes.",
        )
    code = {name: number for number, name in enumerate(classes)}
    y = np.array([code[str(label)] for label in labels], np.int64)
    noun = {"image": "images", "tokens": "texts", "audio": "recordings"}.get(kind, "rows")
    untrained = untrained_classes(y, classes, common["parts"], noun)
    common["notices"] = (*more.get("notices", ()), *untrained)
    return Data(**common, y=y, classes=tuple(classes))


def of_place(place: Path, parts: Sequence[str]) -> dict[str, Any]:
    """Return the attributes of `Data` that follow from a place of files and the part of each row, "" for none."""
    val, test = (np.flatnonzero(np.asarray(parts) == part) for part in ("val", "test"))
    return {
        "name": place.name.partition(".")[0],
        "source": str(place),
        "val_rows": val if len(val) else None,
        "test_rows": test if len(test) else None,
        "parts": np.asarray(parts) if any(parts) else None,
    }


def with_targets(
    place: Path,
    images: Images,
    y: Any,
    classes: Sequence[str],
    parts: Sequence[str],
    groups: Sequence[str] | None,
    notices: Sequence[Notice],
) -> Data:
    """Return `Data` of images whose targets are objects, such as masks or boxes.

    Args:
        place: source of the rows.
        images: the loaded images.
        y: their targets.
        classes: names of the classes.
        parts: train, val or test for each image, or "".
        groups: group of each image; None without groups.
        notices: notices of the targets, which precede those of the images.
    """
    return Data(
        kind="image",
        x=images.x,
        y=y,
        classes=tuple(classes),
        groups=None if groups is None else np.asarray(groups),
        note=images.note,
        content=images.content,
        notices=(*notices, *images.notices),
        kinds=images.kinds,
        **of_place(place, parts),
    )


def _natural(name: str) -> tuple[int, int, str]:
    """Return a sort key that orders numbers numerically, before words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
