"""Download datasets with torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlcli.errors import DataError, first_line
from dlcli.gate.gate import current


def download(
    fetch: Callable[[], object], name: str, folder: Path, missing: Sequence[str], subfolder: str
) -> None:
    """Download missing files; torchvision shows a progress bar.

    Args:
        fetch: function that downloads the files.
        name: name of the dataset.
        folder: folder that the files belong in.
        missing: names of the missing files, for the message of a failed download.
        subfolder: folder that `dataset.root` must contain.

    Raises:
        DataError: the download failed, or the folder is set by a run of another user.
    """
    gate = current()
    if gate is not None and not gate.may_write(folder):
        raise DataError(
            f"{name} is missing, and dlcli downloads nothing to a folder that only the run names",
            str(folder),
            "Give the folder yourself: dataset.root=DIR.",
        )
    try:
        fetch()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is missing and could not be downloaded ({first_line(error)})",
            where=str(folder),
            hint=f"Put {', '.join(missing)} there (from any copy of {name}), or set the folder that contains "
            f"{subfolder}: dataset.root=DIR.",
        ) from error
