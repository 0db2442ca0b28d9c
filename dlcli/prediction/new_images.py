"""Read new images: image files, folders, .tar archives or tables of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.images.image_decoder import Background, Fit
from dlcli.datasets.images.image_loading import TYPES, Bits, ImageOptions, OnBad, load_images
from dlcli.datasets.images.pixel_notices import unseen_kinds
from dlcli.datasets.notices import Notice
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_files import new_files
from dlcli.prediction.new_rows import NewRows

# Number of batches of images predicted at a time: several, so that the next ones are decoded in the meantime.
_BATCHES = 4


@dataclass(frozen=True)
class ImageSettings:
    """Settings for reading images.

    Attributes:
        fit: `crop` scales the shorter side to size and crops the longer one; `stretch` scales both.
        on_bad: Whether a file that is not a complete image is an error or is skipped.
        background: Background of transparent pixels.
        image: For a table, the column of paths; None for the first column.
    """

    fit: Fit = "crop"
    on_bad: OnBad = "error"
    background: Background = "white"
    image: str | None = None


def read_images(
    files: Sequence[Path],
    model: SavedModel,
    settings: ImageSettings,
    report: Callable[[Notice], None],
    images: Sequence[Stored] = (),
) -> Iterator[NewRows]:
    """Yield images with the names of their files, in size, channels and depth as in training.

    Args:
        files: Image files, folders, archives or tables.
        model: The model.
        settings: Settings for reading.
        report: Receives what was left out or converted.
        images: Images in memory, which are read instead of files.

    Raises:
        DataError: A file cannot be read.
    """
    channels, height, width = model.input_shape
    entries: list[Stored] = list(images)
    for file in () if images else files:
        own, notices = new_files(file, settings.image, image_suffixes(), "images", "dataset.image")
        entries += own
        for notice in notices:
            report(notice)
    options = ImageOptions(
        (height, width),
        settings.fit,
        "grey" if channels == 1 else "rgb",
        in_memory=False,
        on_bad=settings.on_bad,
        depth=depth_of_model(model),
        background=settings.background,
    )
    found = load_images(files[0], entries, options)
    for notice in (*found.notices, *unseen_kinds(found.kinds, model.image_kinds or {}, str(files[0]))):
        report(notice)
    at_once = _BATCHES * model.network.evaluation_rows()
    for first in range(0, len(found.rows), at_once):
        some = found.rows[first : first + at_once]
        names = pa.array([entries[row].where for row in some], pa.string())
        yield NewRows(files[0], found.x[first : first + at_once], pa.table({"file": names}))


def depth_of_model(model: SavedModel) -> Bits:
    """Return the bits per channel of the images that the model was trained on."""
    depth = getattr(model.preprocessing, "depth_", "uint8")
    return next((bits for bits, kind in TYPES.items() if kind == depth), 8)
