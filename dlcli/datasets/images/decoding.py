"""Decoding image files to byte arrays, upright and with a common size and number of channels."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dlcli.datasets.class_folders import Stored
from dlcli.errors import first_line
from dlcli.process.cores import share

Fit = Literal["crop", "stretch"]
Result = TypeVar("Result")

# Number of bytes that contain the header of nearly every image.
_HEAD = 1 << 16

_GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "F"})
# Number of files queued for the threads at a time.
_BLOCK = 4096

_ORIENTATION = 0x0112  # EXIF tag


class BadImage(Exception):
    """An image file cannot be decoded; the message is the reason."""


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image file.

    Attributes:
        size: height and width in pixels, of the upright image.
        grey: whether the image is grey.
        digest: digest of the file's size and first bytes.
    """

    size: tuple[int, int]
    grey: bool
    digest: bytes


@dataclass(frozen=True)
class Decoder:
    """Decodes files to images `(H, W)` or `(H, W, 3)`.

    Attributes:
        size: height and width of the result; None keeps the image's size.
        fit: `crop` scales the shorter side and crops the longer one; `stretch` scales both.
        grey: decode to one channel without a channel axis, instead of three channels.
    """

    size: tuple[int, int] | None
    fit: Fit
    grey: bool

    def decode(self, entry: Stored) -> np.ndarray:
        """Return the image of a file as bytes.

        Raises:
            BadImage: the file is empty, truncated, or not an image.
        """
        with _bad(entry), _open(entry.read()) as opened:
            image = _channels(ImageOps.exif_transpose(opened), self.grey)
            if self.size is not None and image.size != self.size[::-1]:
                width, height = self.size[::-1]
                if self.fit == "crop":
                    image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
                else:
                    image = image.resize((width, height), Image.Resampling.BICUBIC)
            return np.asarray(image)


def read_header(entry: Stored) -> ImageHeader:
    """Read the header of an image file.

    Raises:
        BadImage: the file is empty, or not an image.
    """
    with _bad(entry):
        head = entry.read(_HEAD)
        try:
            image = _open(head)
        except UnidentifiedImageError:  # the metadata (a thumbnail, a colour profile) is longer
            image = _open(entry.read())
        with image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            digest = hashlib.blake2b(head[:4096] + entry.size.to_bytes(8, "little"), digest_size=16).digest()
            return ImageHeader((height, width), image.mode in _GREY, digest)


class _bad:  # noqa: N801 used as a context manager
    """Context that converts all exceptions about a file to BadImage."""

    def __init__(self, entry: Stored) -> None:
        self._entry = entry

    def __enter__(self) -> None:
        if self._entry.size == 0:
            raise BadImage("is empty (0 bytes)")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnidentifiedImageError):
            raise BadImage("is not an image") from error
        if isinstance(error, Exception) and not isinstance(error, BadImage | MemoryError):
            raise BadImage(f"cannot be decoded: {first_line(error)}") from error


def _open(content: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata, which is not used
        return Image.open(io.BytesIO(content))


def _channels(image: Image.Image, grey: bool) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray(
            (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        )  # 16 bits a pixel
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if grey else "RGB")


def threads() -> int:
    """Return the number of decoding threads; they run in parallel because Pillow releases the GIL."""
    return min(share(), 16)


def in_threads(work: Callable[[Stored], Result], entries: Sequence[Stored]) -> Iterator[Result | BadImage]:
    """Yield the result of `work` for each file in order, or the BadImage that it raised."""

    def one(entry: Stored) -> Result | BadImage:
        try:
            return work(entry)
        except BadImage as bad:
            return bad

    with ThreadPoolExecutor(threads()) as pool:
        for first in range(0, len(entries), _BLOCK):
            yield from pool.map(one, entries[first : first + _BLOCK])
