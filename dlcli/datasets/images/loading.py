"""Loading image files as rows: check headers, choose a common size, decode in advance if memory suffices."""

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

from dlcli.datasets.class_folders import Stored
from dlcli.datasets.images.decoding import BadImage, Decoder, Fit, ImageHeader, in_threads, read_header
from dlcli.datasets.images.files import ImageFiles, bad_file
from dlcli.errors import DataError
from dlcli.formatting import amount

Pixels = Annotated[int, Ge(1)]
Size = Pixels | tuple[Pixels, Pixels] | None
Color = Literal["auto", "rgb", "grey"]
InMemory = Literal["auto"] | bool
OnBad = Literal["error", "skip"]

# Copies of the rows in memory: as loaded, sorted into the parts of a split, and with channels first.
_COPIES = 3

# Maximum share of the free memory for images.
_SHARE = 0.5


@dataclass(frozen=True)
class ImageOptions:
    """Options of a dataset of images.

    Attributes:
        size: side of the square, or height and width, in pixels that images are resized to; None keeps their size.
        fit: `crop` scales the shorter side and crops the longer one; `stretch` scales both.
        color: grey or rgb; auto is grey if all images are grey.
        in_memory: decode all images in advance, or each when it is read; auto decodes in advance if memory suffices.
        on_bad: whether a damaged image file is an error, or is left out and reported.
    """

    size: Size = None
    fit: Fit = "crop"
    color: Color = "auto"
    in_memory: InMemory = "auto"
    on_bad: OnBad = "error"


@dataclass(frozen=True, eq=False)
class Images:
    """Images as rows of `Data`.

    Attributes:
        x: bytes `(N, H, W)` if they are grey, else `(N, H, W, 3)`; `ImageFiles` if they are decoded when read.
        rows: indices of the images among all given files.
        note: how the images are stored, and which files were left out.
        content: digest of the images, the same for images in memory and in files.
    """

    x: np.ndarray | ImageFiles
    rows: np.ndarray
    note: str
    content: str


@dataclass(frozen=True)
class _Found:
    """Files and their headers, in lists of equal length."""

    entries: list[Stored]
    headers: list[ImageHeader]
    rows: np.ndarray  # indices among all listed files
    skipped: list[str]

    def without(self, bad: Sequence[tuple[int, BadImage]]) -> _Found:
        """Return the files without the bad ones, which are added to `skipped`."""
        out = {row for row, _ in bad}
        keep = [row for row in range(len(self.entries)) if row not in out]
        return _Found(
            [self.entries[row] for row in keep],
            [self.headers[row] for row in keep],
            self.rows[keep],
            [*self.skipped, *(self.entries[row].name for row, _ in bad)],
        )


def load_images(place: Path, entries: Sequence[Stored], options: ImageOptions) -> Images:
    """Load the images of files.

    Args:
        place: source of the files.
        entries: the files.
        options: how they are decoded.

    Raises:
        DataError: a file is damaged, or no image is left.
    """
    skip = options.on_bad == "skip"
    found = _read_headers(list(entries), skip=skip)
    files = ImageFiles(found.entries, _decoder(found, options))
    free = psutil.virtual_memory().available
    fits = _COPIES * files.nbytes <= _SHARE * free
    decoded = fits if options.in_memory == "auto" else options.in_memory
    if decoded or skip:  # truncated files are only found by decoding them
        x, also_bad = _decode(files, keep=decoded, skip=skip)
        found = found.without(also_bad)
        files = ImageFiles(found.entries, files.decoder)
    if not found.entries:
        raise DataError("all images are damaged", str(place), f"Check the files, such as {found.skipped[0]}.")
    size_text = f"{amount(files.nbytes)} decoded, {amount(free)} of memory free"
    note = f"{'in memory' if decoded else 'decoded when they are read'} ({size_text})"
    if found.skipped:
        note += f"; {len(found.skipped)} damaged left out: {', '.join(found.skipped[:3])}"
    return Images(x if decoded else files, found.rows, note, _digest(found, files.decoder))


def _read_headers(entries: list[Stored], *, skip: bool) -> _Found:
    """Read the headers of all files; damaged files are left out, or an error."""
    headers = list(in_threads(read_header, entries))
    bad = [(row, header) for row, header in enumerate(headers) if isinstance(header, BadImage)]
    if bad and not skip:
        raise _error(entries, bad)
    everything = _Found(entries, headers, np.arange(len(entries)), [])  # type: ignore[arg-type]
    return everything.without(bad)


def _decoder(found: _Found, options: ImageOptions) -> Decoder:
    size, color = options.size, options.color
    grey = color == "grey" or (color == "auto" and all(header.grey for header in found.headers))
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        return Decoder((height, width), options.fit, grey)
    sizes = Counter(header.size for header in found.headers)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        other = next(row for row, header in enumerate(found.headers) if header.size != usual)
        height, width = found.headers[other].size
        raise DataError(
            f"is {height} x {width} pixels, others are {usual[0]} x {usual[1]}",
            found.entries[other].where,
            "Resize all to one size: dataset.size=96 (or [HEIGHT,WIDTH]), dataset.fit=crop or stretch.",
        )
    return Decoder(next(iter(sizes), (1, 1)), options.fit, grey)


def _decode(files: ImageFiles, *, keep: bool, skip: bool) -> tuple[Any, list[tuple[int, BadImage]]]:
    """Decode all images; return those that can be decoded `(N, ...)`, if they are kept, and the bad ones."""
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


def _error(entries: list[Stored], bad: Sequence[tuple[int, BadImage]]) -> DataError:
    """Return an error with the first few damaged files."""
    errors = [bad_file(entries[row], reason) for row, reason in bad[:5]]
    return DataError([problem for error in errors for problem in error.problems])


def _digest(found: _Found, decoder: Decoder) -> str:
    """Return a digest of names, sizes and first bytes of the files, and of the decoder, in place of the pixels."""
    digest = hashlib.blake2b(repr(decoder).encode(), digest_size=16)
    for entry, header in zip(found.entries, found.headers, strict=True):
        digest.update(entry.name.encode())
        digest.update(header.digest)
    return digest.hexdigest()
