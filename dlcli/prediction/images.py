"""Read new images: image files, folders, .tar archives or tables of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dlcli.datasets.class_folders import FileEntry, list_files
from dlcli.datasets.image_folder import SUFFIXES
from dlcli.datasets.images.decoding import Fit
from dlcli.datasets.images.loading import Color, ImageOptions, OnBad, load_images
from dlcli.datasets.images.tables import image_entries
from dlcli.datasets.tables.files import is_table, read_table, require_file
from dlcli.datasets.tables.pieces import STDIN
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder
from dlcli.formatting import counted
from dlcli.prediction.new_rows import NewRows

# Images that are predicted at a time. The number spans several batches, so that the next ones are decoded meanwhile.
_AT_ONCE = 4 * 512


@dataclass(frozen=True)
class ImageSettings:
    """Settings for reading images.

    Attributes:
        fit: `crop` scales the shorter side to size and crops the longer one; `stretch` scales both.
        on_bad: Whether a file that is not a complete image is an error or is skipped.
        image: For a table, the column of paths; None for the first column.
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
    """Yield images with the names of their files, in size and channels as in training.

    Args:
        files: Image files, folders, .tar archives or tables.
        input_shape: Shape of an image, `(C, H, W)`.
        settings: How the images are read.
        tell: Receives a message about skipped files.

    Raises:
        DataError: A file cannot be read.
    """
    channels, height, width = input_shape
    entries = [entry for file in files for entry in _entries(file, settings.image)]
    color: Color = "grey" if channels == 1 else "rgb"
    options = ImageOptions((height, width), settings.fit, color, in_memory=False, on_bad=settings.on_bad)
    found = load_images(files[0], entries, options)
    if skipped := len(entries) - len(found.rows):
        first_skipped = entries[int(np.setdiff1d(np.arange(len(entries)), found.rows)[0])].where
        tell(f"{counted(skipped, 'file')} skipped: not a complete image; the first: {first_skipped}")
    for first in range(0, len(found.rows), _AT_ONCE):
        some = found.rows[first : first + _AT_ONCE]
        names = pa.array([entries[row].where for row in some], pa.string())
        yield NewRows(files[0], found.x[first : first + _AT_ONCE], pa.table({"file": names}))


def _entries(file: Path, image: str | None) -> list[FileEntry]:
    if file == STDIN:
        raise DataError("images cannot be piped in", hint="Name files, folders, a .tar or a table of paths.")
    if is_folder(file) or file.suffix.lower() == ".tar":
        if not is_folder(file):
            require_file(file)
        return list_files(file, SUFFIXES, "images")
    require_file(file)
    if is_table(file):
        source = read_table(file, types={image: "text"} if image else None, missing=[""])
        if image is None and not any(is_file(file.parent / str(name)) for name in source.frame.iloc[:, 0]):
            raise DataError(
                "this model expects images, but the table's first column does not contain paths of files",
                str(file),
                "Name images, a folder or a .tar of them, or set the column of their paths: dataset.image=COLUMN.",
            )
        return image_entries(source, image)
    return [FileEntry(file.name, str(file), 0, file.stat().st_size)]
