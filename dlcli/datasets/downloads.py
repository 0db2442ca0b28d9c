"""Datasets that torchvision downloads: what they share is how they fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlcli.errors import DataError, first_line


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
        DataError: which files to put where.
    """
    try:
        fetch()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is not there and could not be downloaded ({first_line(error)})",
            where=str(folder),
            hint=f"Put {', '.join(missing)} there (from any copy of {name}), or give the folder that holds {holds} "
            "with dataset.root=DIR.",
        ) from error
