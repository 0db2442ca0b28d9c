"""Which of two classes is the one to be found."""

from __future__ import annotations

from dataclasses import replace

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.data import Data
from dlcli.errors import DataError


def with_positive(data: Data, name: str | int) -> Data:
    """The same rows with this class as the second of two: the one that precision, recall and f1 are of.

    The codes themselves change, so that task, loss, figures and pictures need not know of it.

    Raises:
        DataError: there are not two classes, or none of that name.
    """
    if data.target_kind != "binary":
        raise DataError(
            f"names the class to be found of two; the targets of {data.name} are {data.target_kind}",
            "dataset.positive",
            "Leave it out.",
        )
    wanted = str(name)
    if wanted not in data.classes:
        raise DataError(
            f"there is no class {wanted} in {data.name}",
            "dataset.positive",
            hint(did_you_mean(wanted, data.classes), choices(data.classes)),
        )
    if data.classes[1] == wanted:
        return data
    return replace(data, classes=data.classes[::-1], y=1 - data.y)
