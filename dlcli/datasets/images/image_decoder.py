"""Decode image files to upright arrays of a common size and number of channels."""

from __future__ import annotations

import hashlib
import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from dlcli.datasets.folders.bad_files import BadFile
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.depth import (
    FULL,
    ORIENTATION,
    PAGED,
    Depth,
    ImageHeader,
    deep_values,
    depth_of,
    header_of,
    upright,
)
from dlcli.datasets.images.formats import image_formats
from dlcli.datasets.images.plain_image import PlainImage, plain_image
from dlcli.errors import DataError, first_line

Fit = Literal["crop", "stretch"]
# Background of transparent pixels; `ignore` keeps the file's colours there.
Background = Literal["white", "black", "ignore"]

# A file that has been opened, but not decoded.
Opened = ImageFile.ImageFile | PlainImage

# Number of bytes that contain the header of nearly every image.
_HEAD = 1 << 16

# Weights of red, green and blue in the brightness (ITU-R 601-2, as Pillow uses them).
_LUMA = (0.299, 0.587, 0.114)


class BadImage(BadFile):
    """An image file cannot be decoded; the message is the reason."""


@dataclass(frozen=True)
class Decoder:
    """Decoder of files to images `(H, W)` or `(H, W, 3)`.

    Attributes:
        size: height and width of the result; None keeps the image's size.
        fit: `crop` scales the shorter side and crops the longer one; `stretch` scales both.
        grey: decode to one channel without a channel axis, instead of three channels.
        depth: type of the values. Integers are shares of the full range of their type, so that 8-bit white (255) is
            16-bit white (65,535); floats are the file's own values.
        background: background of transparent pixels.
    """

    size: tuple[int, int] | None
    fit: Fit
    grey: bool
    depth: Depth = "uint8"
    background: Background = "white"

    def decode(self, entry: Stored, known: Opened | None = None) -> np.ndarray:
        """Return the image of a file.

        Args:
            entry: the file.
            known: the same file if it has been opened, but not decoded; it is closed.

        Raises:
            BadImage: the file is empty, truncated, not an image, or its values do not fit the depth.
        """
        with _bad(entry):
            content = b""
            if known is None:
                content = entry.read()
                known = plain_image(content) or _open(content)
            if isinstance(known, PlainImage):
                if self.depth == "uint8" and (image := known.image()) is not None:
                    return np.asarray(self._resized(self._in_channels(image)))
                content = content or entry.read()
                known = _open(content)  # its error describes the damage
            with known as opened:
                native = depth_of(opened)
                if (native == "float32") != (self.depth == "float32"):
                    kinds = ("floating-point values", "integers")
                    own, wanted = kinds if native == "float32" else kinds[::-1]
                    raise BadImage(f"has {own}, but {wanted} are expected: there is no common scale")
                if native == self.depth == "uint8":
                    return np.asarray(self._resized(self._eight_bits(opened)))
                if native == "uint8":
                    values = np.asarray(self._eight_bits(opened), np.float32) * (
                        FULL["uint16"] / FULL["uint8"]
                    )
                else:
                    values = self._deep(opened, content)
                return self._finished(values)

    def _eight_bits(self, opened: ImageFile.ImageFile) -> Image.Image:
        """Return the upright image without transparency, in the wanted channels."""
        opened.load()  # some formats store metadata after the pixels
        turned = opened.getexif().get(ORIENTATION, 1) in range(2, 9)
        image = ImageOps.exif_transpose(opened) if turned else opened  # otherwise it would be a copy
        if image.has_transparency_data and self.background != "ignore":
            below = Image.new("RGBA", image.size, self.background)
            image = Image.alpha_composite(below, image.convert("RGBA"))
        elif image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return self._in_channels(image)

    def _in_channels(self, image: Image.Image) -> Image.Image:
        mode = "L" if self.grey else "RGB"
        return image if image.mode == mode else image.convert(mode)

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.size is None or image.size == self.size[::-1]:
            return image
        width, height = self.size[::-1]
        if self.fit == "crop":
            return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        return image.resize((width, height), Image.Resampling.BICUBIC)

    def _deep(self, opened: ImageFile.ImageFile, content: bytes) -> np.ndarray:
        """Return the values of an image with more than 8 bits, upright, without transparency: `(H, W)` or `(H, W, 3)`.

        16-bit values are from 0 to 65,535.
        """
        values, alpha = deep_values(opened, lambda: _open(content))
        if alpha is not None and self.background != "ignore":
            shade = FULL["uint16"] if self.background == "white" else 0.0
            opacity = alpha if values.ndim == 2 else alpha[..., None]
            values = values * opacity + shade * (1 - opacity)
        if not np.isfinite(values).all():
            raise BadImage("has pixels that are not finite numbers")
        values = upright(values, opened.getexif().get(ORIENTATION, 1))
        if self.grey and values.ndim == 3:
            return values @ np.array(_LUMA, np.float32)
        if not self.grey and values.ndim == 2:
            return np.repeat(values[..., None], 3, axis=2)
        return values

    def _finished(self, values: np.ndarray) -> np.ndarray:
        """Return values of the full range of 16 bits, or floats, resized and in the type of `depth`."""
        if self.size is not None and values.shape[:2] != self.size:
            channels = values[..., None] if values.ndim == 2 else values
            parts = [
                np.asarray(self._resized(Image.fromarray(np.ascontiguousarray(channels[..., c]))))
                for c in range(channels.shape[2])
            ]
            values = parts[0] if values.ndim == 2 else np.stack(parts, axis=2)
        return converted(values, self.depth)


def converted(values: np.ndarray, depth: Depth) -> np.ndarray:
    """Return floats (of the full range of 16 bits, unless `depth` is float32) in the type of `depth`."""
    if depth == "float32":
        return values.astype(np.float32)
    share = FULL[depth] / FULL["uint16"]
    return np.clip(np.rint(values * share), 0, FULL[depth]).astype(depth)


def read_header(entry: Stored) -> ImageHeader:
    """Read the header of an image file, from its first bytes if these suffice.

    Raises:
        BadImage: the file is empty, or not an image.
    """
    return open_header(entry)[0]


def open_header(entry: Stored) -> tuple[ImageHeader, Opened | None]:
    """Read the header as `read_header` does, and return it with the opened file if that saves opening it again.

    Returns:
        The header, and the opened file if it is small and need not be opened again to be decoded: a `PlainImage` or
        another JPEG. (Files of other formats may store metadata after their pixels.)

    Raises:
        BadImage: the file is empty, or not an image.
    """
    with _bad(entry):
        head = entry.read(_HEAD)
        digest = hashlib.blake2b(head[:4096] + entry.size.to_bytes(8, "little"), digest_size=16).digest()
        if plain := plain_image(head):
            (width, height), grey = plain.size, plain.mode == "L"
            header = ImageHeader((height, width), grey, digest, mode="grey" if grey else "RGB")
            return header, plain if len(head) == entry.size else None
        if len(head) < entry.size:
            # Not every format can be opened without its end: the metadata may be longer, the pages may be anywhere.
            with suppress(Exception), _open(head) as image:
                if image.format not in PAGED:
                    return header_of(image, digest), None
            head = entry.read()
        image = _open(head)
        if image.format == "JPEG" and len(head) < _HEAD:
            return header_of(image, digest), image
        with image:
            return header_of(image, digest), None


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
        if isinstance(error, DataError):
            raise BadImage(error.problems[0].message) from error
        if isinstance(error, Exception) and not isinstance(error, BadImage | MemoryError):
            raise BadImage(f"cannot be decoded: {first_line(error)}") from error


def _open(content: bytes) -> ImageFile.ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata, which is not used
        return Image.open(io.BytesIO(content), formats=image_formats())
