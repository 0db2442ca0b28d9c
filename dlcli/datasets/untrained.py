"""Classes that occur in the test or validation rows of the user's own split, and not in its training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.config.suggest import near, question
from dlcli.datasets.notices import Notice, first_names


def untrained_classes(
    y: np.ndarray, classes: Sequence[str], parts: np.ndarray | None, noun: str
) -> list[Notice]:
    """Return the notice on rows of classes that no training row has, if there are any.

    Args:
        y: codes `(N,)` of the classes.
        classes: names of the classes.
        parts: train, val or test of each row; None, or fold numbers, without such a split.
        noun: what the rows are, in plural.
    """
    if parts is None or not classes or y.ndim != 1 or parts.dtype.kind != "U" or not (parts == "train").any():
        return []
    trained = np.isin(np.arange(len(classes)), y[parts == "train"])
    rows = int((~trained[y]).sum())
    if not rows:
        return []
    names = [name for name, known in zip(classes, trained, strict=True) if not known]
    known = [name for name, has in zip(classes, trained, strict=True) if has]
    text = f"{rows:,} of {len(y):,} {noun} are of classes that no training row has: {first_names(names)}"
    return [Notice("untrained_classes", rows, text, hint=question(near(names[0], known)))]
