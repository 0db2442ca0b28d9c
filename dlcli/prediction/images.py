"""New images: files, folders of them, tars, or tables of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dlcli.datasets.class_folders import Entry, list_files
from dlcli.datasets.image_folder import SUFFIXES
from dlcli.datasets.images.decoding import Fit
from dlcli.datasets.images.loading import OnBad, load_images
from dlcli.datasets.images.tables import image_entries
from dlcli.datasets.tables.files import is_table, need_file, read_table
from dlcli.datasets.tables.pieces import STDIN
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder
from dlcli.formatting import counted
from dlcli.prediction.new_rows import NewRows

# Images that are predicted at a time: some batches, of which the next are decoded meanwhile.
_AT_ONCE = 4 * 512


@dataclass(frozen=True)
class ImageSettings:
    """How images are read.

    Attributes:
        fit: crop scales the shorter side and cuts off the ends of the longer one; stretch scales both.
        on_bad: whether a file that is no whole image is an error, or left out.
        image: the column of paths, for a table; None: its first.
    """

    fit: Fit = "crop"
    on_bad: OnBad = "error"
    image: str | None = None


def read_images(
    files: Sequence[Path],
    input_shape: Sequence[int],
    settings: ImageSettings,
    tell: Callable[[str], None],
) -> Iterator[NewRows]:
    """Images with their files' names, brought to the size and channels of a row `(C, H, W)` of the training.

    `tell` is told how many were left out.

    Raises:
        DataError: a file, and what is wrong with it.
    """
    channels, height, width = input_shape
    entries = [entry for file in files for entry in _entries(file, settings.image)]
    found = load_images(
        files[0],
        entries,
        (height, width),
        settings.fit,
        "grey" if channels == 1 else "rgb",
        in_memory=False,
        on_bad=settings.on_bad,
    )
    if left_out := len(entries) - len(found.rows):
        tell(
            f"{counted(left_out, 'file')} left out, no whole image; the first: {_first_out(entries, found.rows)}"
        )
    for first in range(0, len(found.rows), _AT_ONCE):
        some = found.rows[first : first + _AT_ONCE]
        names = pa.array([entries[row].where for row in some], pa.string())
        yield NewRows(files[0], found.x[first : first + _AT_ONCE], pa.table({"file": names}))


def _first_out(entries: Sequence[Entry], kept: np.ndarray) -> str:
    return entries[int(np.setdiff1d(np.arange(len(entries)), kept)[0])].where


def _entries(file: Path, image: str | None) -> list[Entry]:
    if file == STDIN:
        raise DataError("images cannot be piped in", hint="Give files, folders, a .tar, or a table of paths.")
    if is_folder(file) or file.suffix.lower() == ".tar":
        if not is_folder(file):
            need_file(file)
        return list_files(file, SUFFIXES, "images")
    need_file(file)
    if is_table(file):
        source = read_table(file, types={image: "text"} if image else None, missing=[""])
        if image is None and not any(is_file(file.parent / str(name)) for name in source.frame.iloc[:, 0]):
            raise DataError(
                "this model takes images, and the table's first column names no files",
                str(file),
                "Give images, a folder or a .tar of them, or say which column has their paths: dataset.image=COLUMN.",
            )
        return image_entries(source, image)
    return [Entry(file.name, str(file), 0, file.stat().st_size)]
