"""Images of your own: a folder for each class, or a table of paths and labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import psutil
from annotated_types import Ge

from dlcli.console import amount
from dlcli.datasets.class_folders import Entry, list_class_folders
from dlcli.datasets.data import Data
from dlcli.datasets.images.decoding import BadImage, Decoder, Fit, Header, in_threads, read_header
from dlcli.datasets.images.files import ImageFiles, bad_file
from dlcli.datasets.images.tables import list_table
from dlcli.datasets.labelled import labelled
from dlcli.errors import DataError

Pixels = Annotated[int, Ge(1)]

# Rows lie in memory once as they are, once sorted into the parts of a split, and once with their channels first.
_COPIES = 3

# The share of what memory is free that images may take.
_SHARE = 0.5

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})

_TABLES = frozenset({".csv", ".tsv", ".txt", ".parquet"})


@dataclass(frozen=True)
class _Labelled:
    """Files and what is known of them; equally long lists."""

    entries: list[Entry]
    headers: list[Header]
    rows: np.ndarray  # their places among all that were listed
    skipped: list[str]

    def without(self, bad: Sequence[tuple[int, BadImage]]) -> _Labelled:
        """The others."""
        out = {row for row, _ in bad}
        keep = [row for row in range(len(self.entries)) if row not in out]
        return _Labelled(
            [self.entries[row] for row in keep],
            [self.headers[row] for row in keep],
            self.rows[keep],
            [*self.skipped, *(self.entries[row].name for row, _ in bad)],
        )


def load(
    path: str,
    target: str | None = None,
    image: str | None = None,
    size: Pixels | tuple[Pixels, Pixels] | None = None,
    fit: Fit = "crop",
    color: Literal["auto", "rgb", "grey"] = "auto",
    in_memory: Literal["auto"] | bool = "auto",
    on_bad: Literal["error", "skip"] = "error",
) -> Data:
    """Images `(N, H, W)` where they are grey, else `(N, H, W, 3)`, and a class or a number for each.

    Args:
        path: a folder (or a .tar, read where it lies) with a folder for each class, or with `train/` and `test/` (and
            `val/`) above those; or a table (.csv, .tsv, .parquet) of paths and labels.
        target: the table's column of labels; numbers with a decimal point are a regression's targets.
        image: the table's column of paths, relative to the table's folder; None: the first column.
        size: side of the square, or height and width in pixels, that images are brought to; None: as they are.
        fit: crop scales the shorter side and cuts off the ends of the longer one; stretch scales both.
        color: grey or rgb; auto is grey where all images are.
        in_memory: decode all images at once, or each when it is read; auto: at once where they fit.
        on_bad: whether a file that is no whole image is an error, or left out and named.

    Raises:
        DataError: a file or folder, and what is wrong with it.
    """
    place = Path(path).expanduser()
    if place.is_file() and place.suffix.lower() in _TABLES:
        listing = list_table(place, target, image)
    else:
        listing = list_class_folders(place, _SUFFIXES, "images", "a table of paths and labels")
    if listing.empty and on_bad == "error":
        hint = "Remove it, or fill it; dataset.on_bad=skip leaves it out."
        raise DataError("there is no image in this class's folder", listing.empty[0], hint)
    found = _look_at(listing.entries, on_bad)
    files = ImageFiles(found.entries, _decoder(found, size, fit, color))
    free = psutil.virtual_memory().available
    at_once = _COPIES * files.nbytes <= _SHARE * free if in_memory == "auto" else in_memory
    if at_once or on_bad == "skip":  # what is cut off shows only when it is decoded
        x, also_bad = _decode(files, keep=at_once, skip=on_bad == "skip")
        found = found.without(also_bad)
        files = ImageFiles(found.entries, files.decoder)
    if not found.entries:
        raise DataError("no image is left", str(place), f"The first that was left out: {found.skipped[0]}")
    labels = [listing.labels[row] for row in found.rows]
    parts = [listing.parts[row] for row in found.rows]
    size_text = f"{amount(files.nbytes)} decoded, {amount(free)} of memory free"
    note = f"{'in memory' if at_once else 'decoded as they are read'} ({size_text})"
    if found.skipped:
        note += f"; {len(found.skipped)} broken left out: {', '.join(found.skipped[:3])}"
    return labelled(
        place,
        "image",
        x if at_once else files,
        labels,
        parts,
        target or "class",
        note=note,
        content=_digest(found, files.decoder),
    )


def _look_at(entries: list[Entry], on_bad: str) -> _Labelled:
    """The headers of all files; broken ones are left out, or an error."""
    headers = list(in_threads(read_header, entries))
    bad = [(row, header) for row, header in enumerate(headers) if isinstance(header, BadImage)]
    if bad and on_bad == "error":
        raise _error(entries, bad)
    everything = _Labelled(entries, headers, np.arange(len(entries)), [])  # type: ignore[arg-type]
    return everything.without(bad)


def _decoder(
    found: _Labelled, size: int | Sequence[int] | None, fit: Fit, color: Literal["auto", "rgb", "grey"]
) -> Decoder:
    grey = color == "grey" or (color == "auto" and all(header.grey for header in found.headers))
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        return Decoder((height, width), fit, grey)
    sizes = Counter(header.size for header in found.headers)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        other = next(row for row, header in enumerate(found.headers) if header.size != usual)
        height, width = found.headers[other].size
        raise DataError(
            f"is {height} x {width} pixels, others are {usual[0]} x {usual[1]}",
            found.entries[other].name,
            "Bring all to one size: dataset.size=96 (or [HEIGHT,WIDTH]), dataset.fit=crop or stretch.",
        )
    return Decoder(next(iter(sizes), (1, 1)), fit, grey)


def _decode(files: ImageFiles, *, keep: bool, skip: bool) -> tuple[Any, list[tuple[int, BadImage]]]:
    """All images that can be decoded `(N, ...)` (or none of them kept), and those that cannot."""
    images = np.empty(files.shape if keep else (0,), np.uint8)
    bad: list[tuple[int, BadImage]] = []
    good = 0
    for row, image in enumerate(in_threads(files.decoder.decode, files.entries)):
        if isinstance(image, BadImage):
            if not skip:
                raise bad_file(files.entries[row], image)
            bad.append((row, image))
        elif keep:
            images[good] = image
            good += 1
    return images[:good], bad


def _error(entries: list[Entry], bad: Sequence[tuple[int, BadImage]]) -> DataError:
    """The first few broken files."""
    errors = [bad_file(entries[row], reason) for row, reason in bad[:5]]
    return DataError([problem for error in errors for problem in error.problems])


def _digest(found: _Labelled, decoder: Decoder) -> str:
    """Stands for the pixels: names, sizes and first bytes of the files, and how they are decoded."""
    digest = hashlib.blake2b(repr(decoder).encode(), digest_size=16)
    for entry, header in zip(found.entries, found.headers, strict=True):
        digest.update(entry.name.encode())
        digest.update(header.digest)
    return digest.hexdigest()
