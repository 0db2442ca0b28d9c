"""Image files to arrays of bytes: decoded, turned upright, brought to one size and one number of channels."""

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

# Bytes that show nearly every image's kind and size.
_HEAD = 1 << 16

_GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "F"})
# Files that wait for a thread at a time.
_AT_ONCE = 4096

_ROTATION = 0x0112  # EXIF: how the camera was held


class BadImage(Exception):
    """A file that cannot be decoded; says why."""


@dataclass(frozen=True)
class Header:
    """What a file says of its image: height and width in pixels, upright, and whether it is grey.

    `digest` is of the file's size and first bytes.
    """

    size: tuple[int, int]
    grey: bool
    digest: bytes


@dataclass(frozen=True)
class Decoder:
    """How files become images `(H, W)`, or `(H, W, 3)`.

    Attributes:
        size: height and width of the result; None leaves an image as large as it is.
        fit: crop scales the shorter side and cuts the longer one's ends off; stretch scales both sides.
        grey: one channel, without an axis of its own, or three.
    """

    size: tuple[int, int] | None
    fit: Fit
    grey: bool

    def decode(self, entry: Stored) -> np.ndarray:
        """The image of a file, as bytes.

        Raises:
            BadImage: the file is empty, cut off, or no image.
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


def read_header(entry: Stored) -> Header:
    """Look at a file's beginning.

    Raises:
        BadImage: it is empty, or no image.
    """
    with _bad(entry):
        head = entry.read(_HEAD)
        try:
            image = _open(head)
        except UnidentifiedImageError:  # what precedes the image (a thumbnail, a colour profile) is longer
            image = _open(entry.read())
        with image:
            width, height = image.size
            if image.getexif().get(_ROTATION, 1) >= 5:
                width, height = height, width
            digest = hashlib.blake2b(head[:4096] + entry.size.to_bytes(8, "little"), digest_size=16).digest()
            return Header((height, width), image.mode in _GREY, digest)


class _bad:  # noqa: N801 reads as the context that it is
    """Whatever goes wrong with a file, as one kind of error."""

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
        warnings.simplefilter("ignore")  # on damaged metadata, which nobody reads here
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
    """How many images are decoded at once: Pillow lets go of the interpreter while it works."""
    return min(share(), 16)


def in_threads(work: Callable[[Stored], Result], entries: Sequence[Stored]) -> Iterator[Result | BadImage]:
    """What `work` gives for each file, in their order; a BadImage in its place where it raised one."""

    def one(entry: Stored) -> Result | BadImage:
        try:
            return work(entry)
        except BadImage as bad:
            return bad

    with ThreadPoolExecutor(threads()) as pool:
        for first in range(0, len(entries), _AT_ONCE):
            yield from pool.map(one, entries[first : first + _AT_ONCE])
