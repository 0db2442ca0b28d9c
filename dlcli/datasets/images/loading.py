"""Files of images as rows: looked at, brought to one size, and decoded at once where there is room for all."""

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
from dlcli.datasets.images.decoding import BadImage, Decoder, Fit, Header, in_threads, read_header
from dlcli.datasets.images.files import ImageFiles, bad_file
from dlcli.errors import DataError
from dlcli.formatting import amount

Pixels = Annotated[int, Ge(1)]
Size = Pixels | tuple[Pixels, Pixels] | None
Color = Literal["auto", "rgb", "grey"]
InMemory = Literal["auto"] | bool
OnBad = Literal["error", "skip"]

# Rows lie in memory once as they are, once sorted into the parts of a split, and once with their channels first.
_COPIES = 3

# The share of what memory is free that images may take.
_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Images:
    """Images as rows of `Data`.

    Attributes:
        x: bytes `(N, H, W)` where they are grey, else `(N, H, W, 3)`; `ImageFiles` where they are decoded when read.
        rows: their places among all that were given.
        note: how they are held, and what was left out.
        content: a digest that is the same in memory and in files.
    """

    x: np.ndarray | ImageFiles
    rows: np.ndarray
    note: str
    content: str


@dataclass(frozen=True)
class _Found:
    """Files and what is known of them; equally long lists."""

    entries: list[Stored]
    headers: list[Header]
    rows: np.ndarray  # their places among all that were listed
    skipped: list[str]

    def without(self, bad: Sequence[tuple[int, BadImage]]) -> _Found:
        """The others."""
        out = {row for row, _ in bad}
        keep = [row for row in range(len(self.entries)) if row not in out]
        return _Found(
            [self.entries[row] for row in keep],
            [self.headers[row] for row in keep],
            self.rows[keep],
            [*self.skipped, *(self.entries[row].name for row, _ in bad)],
        )


def load_images(
    place: Path,
    entries: Sequence[Stored],
    size: Size = None,
    fit: Fit = "crop",
    color: Color = "auto",
    in_memory: InMemory = "auto",
    on_bad: OnBad = "error",
) -> Images:
    """The images of files.

    Args:
        place: where they come from.
        entries: the files.
        size: side of the square, or height and width in pixels, that images are brought to; None: as they are.
        fit: crop scales the shorter side and cuts off the ends of the longer one; stretch scales both.
        color: grey or rgb; auto is grey where all images are.
        in_memory: decode all images at once, or each when it is read; auto: at once where they fit.
        on_bad: whether a file that is no whole image is an error, or left out and named.

    Raises:
        DataError: a file, and what is wrong with it.
    """
    found = _look_at(list(entries), on_bad)
    files = ImageFiles(found.entries, _decoder(found, size, fit, color))
    free = psutil.virtual_memory().available
    at_once = _COPIES * files.nbytes <= _SHARE * free if in_memory == "auto" else in_memory
    if at_once or on_bad == "skip":  # what is cut off shows only when it is decoded
        x, also_bad = _decode(files, keep=at_once, skip=on_bad == "skip")
        found = found.without(also_bad)
        files = ImageFiles(found.entries, files.decoder)
    if not found.entries:
        raise DataError("no image is left", str(place), f"The first that was left out: {found.skipped[0]}")
    size_text = f"{amount(files.nbytes)} decoded, {amount(free)} of memory free"
    note = f"{'in memory' if at_once else 'decoded as they are read'} ({size_text})"
    if found.skipped:
        note += f"; {len(found.skipped)} broken left out: {', '.join(found.skipped[:3])}"
    return Images(x if at_once else files, found.rows, note, _digest(found, files.decoder))


def _look_at(entries: list[Stored], on_bad: str) -> _Found:
    """The headers of all files; broken ones are left out, or an error."""
    headers = list(in_threads(read_header, entries))
    bad = [(row, header) for row, header in enumerate(headers) if isinstance(header, BadImage)]
    if bad and on_bad == "error":
        raise _error(entries, bad)
    everything = _Found(entries, headers, np.arange(len(entries)), [])  # type: ignore[arg-type]
    return everything.without(bad)


def _decoder(found: _Found, size: Size, fit: Fit, color: Color) -> Decoder:
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
            found.entries[other].where,
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


def _error(entries: list[Stored], bad: Sequence[tuple[int, BadImage]]) -> DataError:
    """The first few broken files."""
    errors = [bad_file(entries[row], reason) for row, reason in bad[:5]]
    return DataError([problem for error in errors for problem in error.problems])


def _digest(found: _Found, decoder: Decoder) -> str:
    """Stands for the pixels: names, sizes and first bytes of the files, and how they are decoded."""
    digest = hashlib.blake2b(repr(decoder).encode(), digest_size=16)
    for entry, header in zip(found.entries, found.headers, strict=True):
        digest.update(entry.name.encode())
        digest.update(header.digest)
    return digest.hexdigest()
