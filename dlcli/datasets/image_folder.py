"""Image files of labelled folders, or listed in a table of paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from dlcli.datasets.data import Data
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import PartFolders, list_class_folders
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.images.image_loading import ImageOptions, load_images
from dlcli.datasets.images.path_tables import list_table
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.tables.read_table import is_table
from dlcli.files.paths import is_file, typed


def load(
    path: str,
    target: str | Sequence[str] | None = None,
    image: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    parts: PartFolders = "auto",
    **options: Annotated[Any, ImageOptions],
) -> Data:
    """Load images, `(N, H, W)` if they are grey, else `(N, H, W, 3)`, each with a class, labels or numbers.

    Images with more than 8 bits per channel keep their depth.

    Args:
        path: a folder (or a .tar or .zip, read without unpacking) with one folder per class, optionally below `train/`,
            `test/` and `val/`; or a table (.csv, .tsv, .parquet, .jsonl, .xlsx) of paths and labels.
        target: the table's label column; numbers with a decimal point are regression targets. Or several columns of
            numbers, or of 0 and 1, which are labels.
        image: the table's column of paths, relative to the table's folder; None takes the first column.
        split: the table's column with train, val or test for each image.
        label_separator: the sign between several labels in a cell of the target, such as |.
        parts: whether folders named train, test and the like are parts of the split; if false, they are classes.
        options: fields of `ImageOptions`.

    Raises:
        DataError: a file or folder is missing or invalid.
    """
    asked, place = ImageOptions(**options), typed(path)
    names = [target] if isinstance(target, str) else list(target or ())
    if is_file(place) and not is_archive(place) and is_table(place):
        listing = list_table(place, names, image, split, separator=label_separator)
    else:
        listing = list_class_folders(place, image_suffixes(), "images", "a table of paths and labels", parts)
    listing = listing.without_empty("images", skip=asked.on_bad == "skip")
    found = load_images(place, listing.entries, asked)
    return labelled(
        place,
        "image",
        found.x,
        [listing.labels[row] for row in found.rows],
        [listing.parts[row] for row in found.rows],
        listing.targets,
        note="; ".join(filter(None, [listing.note, found.note])),
        content=found.content,
        notices=(*listing.notices, *found.notices),
        kinds=found.kinds,
    )
