"""Datasets that torchvision downloads: what they share is how they fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlcli.errors import DataError, first_line
from dlcli.gate.gate import current


def download(
    fetch: Callable[[], object], name: str, folder: Path, missing: Sequence[str], holds: str
) -> None:
    """Fetch what is missing; torchvision shows a progress bar.

    Args:
        fetch: downloads, or raises.
        name: of the dataset.
        folder: where the files belong.
        missing: the files that a person can put there instead.
        holds: what `dataset.root` has to hold.

    Raises:
        DataError: which files to put where; or the folder is named by a run that the user has not made.
    """
    gate = current()
    if gate is not None and not gate.may_write(folder):
        raise DataError(
            f"{name} is not there, and nothing is downloaded into a folder that a run names",
            str(folder),
            "Name the folder yourself: dataset.root=DIR.",
        )
    try:
        fetch()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is not there and could not be downloaded ({first_line(error)})",
            where=str(folder),
            hint=f"Put {', '.join(missing)} there (from any copy of {name}), or give the folder that holds {holds} "
            "with dataset.root=DIR.",
        ) from error
