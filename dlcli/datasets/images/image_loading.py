"""Loading image files as rows: check headers, choose a common size, decode in advance if memory suffices."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import psutil
from annotated_types import Ge

from dlcli.datasets.folders.bad_files import BadFile, bad_file, bad_files
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.depth import Depth, ImageHeader
from dlcli.datasets.images.image_decoder import (
    Background,
    Decoder,
    Fit,
    Opened,
    open_header,
)
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.images.pixel_notices import kinds_of, pixel_notices
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.formatting import amount, counted

Pixels = Annotated[int, Ge(1)]
Size = Pixels | tuple[Pixels, Pixels] | None
Color = Literal["auto", "rgb", "grey"]
InMemory = Literal["auto"] | bool
OnBad = Literal["error", "skip"]
# Bits per channel that images are read with; auto keeps what the files have.
Bits = Literal["auto", 8, 16, "float"]

# Copies of the rows in memory: as loaded, sorted into the parts of a split, and with channels first.
_COPIES = 3
# Types of the values by bits per channel.
TYPES: Mapping[Literal[8, 16, "float"], Depth] = {8: "uint8", 16: "uint16", "float": "float32"}

# Most bytes of small files that are kept open between reading their headers and decoding them, with their content in
# memory; and what Pillow holds of a file besides.
_KEPT, _OPENED = 1 << 27, 8192

# Maximum share of the free memory for images.
_SHARE = 0.5


@dataclass(frozen=True)
class ImageOptions:
    """Options of a dataset of images.

    Attributes:
        size: side of the square, or height and width, in pixels that images are resized to; None keeps their size.
        fit: `crop` scales the shorter side and crops the longer one; `stretch` scales both.
        color: grey or rgb; auto is grey if all images are grey.
        in_memory: whether all images are decoded in advance, or each when it is read; auto decodes in advance if memory
            suffices.
        on_bad: `error` raises an error for a damaged file; `skip` leaves it out and reports it.
        depth: bits per channel: 8, 16 or float; auto takes the highest depth of any image.
        background: background of transparent pixels: white or black; `ignore` drops transparency and keeps the file's
            colours.
    """

    size: Size = None
    fit: Fit = "crop"
    color: Color = "auto"
    in_memory: InMemory = "auto"
    on_bad: OnBad = "error"
    depth: Bits = "auto"
    background: Background = "white"


@dataclass(frozen=True, eq=False)
class Images:
    """Images as rows of `Data`.

    Attributes:
        x: images `(N, H, W)` if they are grey, else `(N, H, W, 3)`, as bytes, 16-bit integers or floats; `ImageFiles`
            if they are decoded when read.
        rows: indices of the images among all given files.
        note: how the images are stored, for the panel.
        content: digest of the images, the same for images in memory and in files.
        notices: reports of files that were left out and of converted pixels.
        kinds: number of files of each kind of pixels, such as `grey, 16 bits`.
    """

    x: np.ndarray | ImageFiles
    rows: np.ndarray
    note: str
    content: str
    notices: tuple[Notice, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """Files and their headers, in lists of equal length."""

    entries: list[Stored]
    headers: list[ImageHeader]
    opened: list[Opened | None]  # files that need not be opened again
    rows: np.ndarray  # indices among all listed files
    skipped: list[str]

    def without(self, bad: Sequence[tuple[int, BadFile]]) -> _Found:
        """Return the valid files; the bad ones are added to `skipped`."""
        out = {row for row, _ in bad}
        keep = [row for row in range(len(self.entries)) if row not in out]
        return _Found(
            [self.entries[row] for row in keep],
            [self.headers[row] for row in keep],
            [self.opened[row] for row in keep],
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
        DataError: a file is damaged, no image is left, or some images have floats and others integers.
    """
    skip = options.on_bad == "skip"
    kept = 0 if options.in_memory is False else _KEPT  # files that are decoded later are opened again
    found = _read_headers(list(entries), kept, skip=skip)
    depth = _common_depth(found) if options.depth == "auto" else TYPES[options.depth]
    files = ImageFiles(found.entries, _decoder(found, options, depth))
    free = psutil.virtual_memory().available
    fits = _COPIES * files.nbytes <= _SHARE * free
    decoded = fits if options.in_memory == "auto" else options.in_memory
    if decoded or skip:  # truncated files are only found by decoding them
        x, also_bad = _decode(files, found.opened, keep=decoded, skip=skip)
        found = found.without(also_bad)
        files = ImageFiles(found.entries, files.decoder)
    if not found.entries:
        raise DataError("all images are damaged", str(place), f"Check the files, such as {found.skipped[0]}.")
    size_text = f"{amount(files.nbytes)} decoded, {amount(free)} of memory free"
    return Images(
        x if decoded else files,
        found.rows,
        f"{'in memory' if decoded else 'decoded when they are read'} ({size_text})",
        _digest(found, files.decoder),
        (*_damaged(found, place), *pixel_notices(found.headers, files.decoder, place)),
        kinds_of(found.headers),
    )


def _damaged(found: _Found, place: Path) -> Iterator[Notice]:
    if found.skipped:
        yield Notice(
            "damaged_files",
            len(found.skipped),
            f"{counted(len(found.skipped), 'damaged image')} left out: {first_names(found.skipped)}",
            str(place),
        )


def _common_depth(found: _Found) -> Depth:
    """Return the depth that holds the values of all images.

    Raises:
        DataError: some images have floating-point values, and others integers.
    """
    rows: dict[Depth, int] = {}
    for row, header in enumerate(found.headers):
        rows.setdefault(header.depth, row)
    if "float32" in rows and len(rows) > 1:
        other = next(row for depth, row in rows.items() if depth != "float32")
        raise DataError(
            "has floating-point values (or 32-bit integers), but others have integers, such as "
            f"{found.entries[other].name}: there is no common scale",
            found.entries[rows["float32"]].where,
            "Convert all images to one type.",
        )
    return next((depth for depth in ("float32", "uint16") if depth in rows), "uint8")


def _read_headers(entries: list[Stored], kept: int, *, skip: bool) -> _Found:
    """Read the headers of all files; damaged files are left out or raise an error.

    Args:
        entries: the files.
        kept: maximum total size in bytes of the files that stay open.
        skip: whether damaged files are left out.
    """
    opened: list[Opened | None] = []
    headers: list[ImageHeader] = []
    bad: list[tuple[int, BadFile]] = []
    unknown = ImageHeader((0, 0), False, b"")  # a damaged file, to be left out
    for row, read in enumerate(in_threads(open_header, entries)):
        if isinstance(read, BadFile):
            bad.append((row, read))
        header, known = (unknown, None) if isinstance(read, BadFile) else read
        headers.append(header)
        if known is not None:
            kept -= entries[row].size + _OPENED
        opened.append(known if kept >= 0 else None)
    if bad and not skip:
        raise bad_files(entries, bad)
    return _Found(entries, headers, opened, np.arange(len(entries)), []).without(bad)


def _decoder(found: _Found, options: ImageOptions, depth: Depth) -> Decoder:
    size, color = options.size, options.color
    grey = color == "grey" or (color == "auto" and all(header.grey for header in found.headers))
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        return Decoder((height, width), options.fit, grey, depth, options.background)
    sizes = Counter(header.size for header in found.headers)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        other = next(row for row, header in enumerate(found.headers) if header.size != usual)
        height, width = found.headers[other].size
        raise DataError(
            f"is {height} x {width} pixels, others are {usual[0]} x {usual[1]}",
            found.entries[other].where,
            "Resize all images: dataset.size=96 (or [HEIGHT,WIDTH]), dataset.fit=crop or stretch.",
        )
    return Decoder(next(iter(sizes), (1, 1)), options.fit, grey, depth, options.background)


def _decode(
    files: ImageFiles, opened: list[Opened | None], *, keep: bool, skip: bool
) -> tuple[Any, list[tuple[int, BadFile]]]:
    """Decode all images; return those that can be decoded, `(N, ...)` (if `keep`), and the bad files."""

    def decode(row: int) -> np.ndarray:
        known, opened[row] = opened[row], None
        return files.decoder.decode(files.entries[row], known)

    images = np.empty(files.shape if keep else (0,), files.dtype)
    bad: list[tuple[int, BadFile]] = []
    good = 0
    for row, image in enumerate(in_threads(decode, range(len(files.entries)))):
        if isinstance(image, BadFile):
            if not skip:
                raise bad_file(files.entries[row], image)
            bad.append((row, image))
        elif keep:
            images[good] = image
            good += 1
    return images[:good], bad


def _digest(found: _Found, decoder: Decoder) -> str:
    """Return a digest of names, sizes and first bytes of the files, and of the decoder, in place of the pixels."""
    settings = f"Decoder(size={decoder.size!r}, fit={decoder.fit!r}, grey={decoder.grey!r})"
    if decoder.depth != "uint8":
        settings += decoder.depth
    if any(header.transparent for header in found.headers):
        settings += decoder.background
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for entry, header in zip(found.entries, found.headers, strict=True):
        digest.update(entry.name.encode())
        digest.update(header.digest)
    return digest.hexdigest()
