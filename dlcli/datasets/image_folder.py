"""Images of your own: a folder for each class, or a table of paths and labels."""

from __future__ import annotations

from dlcli.datasets.class_folders import list_class_folders
from dlcli.datasets.data import Data
from dlcli.datasets.images.decoding import Fit
from dlcli.datasets.images.loading import Color, InMemory, OnBad, Size, load_images
from dlcli.datasets.images.tables import list_table
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.tables.files import is_table
from dlcli.errors import DataError
from dlcli.files.paths import is_file, typed

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})


def load(
    path: str,
    target: str | None = None,
    image: str | None = None,
    split: str | None = None,
    size: Size = None,
    fit: Fit = "crop",
    color: Color = "auto",
    in_memory: InMemory = "auto",
    on_bad: OnBad = "error",
) -> Data:
    """Images `(N, H, W)` where they are grey, else `(N, H, W, 3)`, and a class or a number for each.

    Args:
        path: a folder (or a .tar, read where it lies) with a folder for each class, or with `train/` and `test/` (and
            `val/`) above those; or a table (.csv, .tsv, .parquet, .jsonl, .xlsx) of paths and labels.
        target: the table's column of labels; numbers with a decimal point are a regression's targets.
        image: the table's column of paths, relative to the table's folder; None: the first column.
        split: the table's column that says of each image whether it trains, validates or tests: train, val, test.
        size: side of the square, or height and width in pixels, that images are brought to; None: as they are.
        fit: crop scales the shorter side and cuts off the ends of the longer one; stretch scales both.
        color: grey or rgb; auto is grey where all images are.
        in_memory: decode all images at once, or each when it is read; auto: at once where they fit.
        on_bad: whether a file that is no whole image is an error, or left out and named.

    Raises:
        DataError: a file or folder, and what is wrong with it.
    """
    place = typed(path)
    if is_file(place) and is_table(place):
        listing = list_table(place, target, image, split)
    else:
        listing = list_class_folders(place, SUFFIXES, "images", "a table of paths and labels")
    if listing.empty and on_bad == "error":
        hint = "Remove it, or fill it; dataset.on_bad=skip leaves it out."
        raise DataError("there is no image in this class's folder", listing.empty[0], hint)
    found = load_images(place, listing.entries, size, fit, color, in_memory, on_bad)
    return labelled(
        place,
        "image",
        found.x,
        [listing.labels[row] for row in found.rows],
        [listing.parts[row] for row in found.rows],
        target or "class",
        note=found.note,
        content=found.content,
    )
