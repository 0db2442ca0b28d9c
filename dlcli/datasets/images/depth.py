"""Properties of an image file before conversion: bits per channel, mode, transparency, frames, orientation."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFile

# Types of pixel values; the integers are shares of their full range.
Depth = Literal["uint8", "uint16", "float32"]
FULL: Mapping[str, int] = {"uint8": 255, "uint16": 65_535}

ORIENTATION = 0x0112  # EXIF tag

# Formats whose frames or pages are only found by reading the whole file.
PAGED = frozenset({"GIF", "TIFF", "WEBP"})

_BITS_PER_SAMPLE = 258  # TIFF tag

# Raw modes of PNG and TIFF files with several channels of 16 bits; the last letter is the byte order: little, big or
# native.
_DEEP = re.compile("(RGB|RGBA|RGBX|LA);16[LBN]")

_GREY = frozenset({"1", "L", "LA", "La", "F", "I", "I;16", "I;16L", "I;16B", "I;16N"})

# Words for Pillow's modes; others are called by their name.
_WORDS = {
    "1": "1 bit",
    "L": "grey",
    "LA": "grey",
    "La": "grey",
    "P": "palette",
    "PA": "palette",
    "RGB": "RGB",
    "RGBA": "RGB",
    "RGBa": "RGB",
    "RGBX": "RGB",
    "F": "grey",
    "I": "grey",
}


@dataclass(frozen=True)
class ImageHeader:
    """Properties of an image file, from its header.

    Attributes:
        size: height and width in pixels, of the upright image.
        grey: whether the image is grey.
        digest: digest of the file's size and first bytes.
        depth: type that holds the file's values.
        mode: word for the kind of pixels, such as `RGB`, `palette` or `CMYK`.
        transparent: whether pixels may be transparent.
        paged: whether there are several frames or pages.
        turned: whether the file's orientation requires turning or mirroring the image.
        shallow: whether the file has more bits per channel than Pillow reads.
    """

    size: tuple[int, int]
    grey: bool
    digest: bytes
    depth: Depth = "uint8"
    mode: str = "RGB"
    transparent: bool = False
    paged: bool = False
    turned: bool = False
    shallow: bool = False


def header_of(image: ImageFile.ImageFile, digest: bytes) -> ImageHeader:
    """Return the header of an opened image."""
    depth, raw = depth_of(image), _raw_mode(image)
    width, height = image.size
    # PngImageFile would load the whole image, although only its beginning may be available.
    turn = Image.Image.getexif(image).get(ORIENTATION, 1)
    if turn >= 5 and image.format != "TIFF":  # Pillow turns the size of a TIFF file itself
        width, height = height, width
    grey = image.mode in _GREY or raw.startswith("LA")
    return ImageHeader(
        (height, width),
        grey,
        digest,
        depth,
        "grey" if grey and image.mode != "1" else _WORDS.get(image.mode, image.mode),
        image.has_transparency_data,
        image.format in (*PAGED, "PNG", "AVIF") and bool(getattr(image, "is_animated", False)),
        turn in range(2, 9),
        depth == "uint8" and _bits(image) > 8,
    )


def depth_of(image: ImageFile.ImageFile) -> Depth:
    """Return the type that holds the readable values of an opened image without loss."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM") or _raw_mode(image):
        return "uint16"
    return "float32" if image.mode in ("I", "F") else "uint8"


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return the raw mode of several channels of 16 bits, such as `RGB;16B`; empty for other images."""
    arguments = image.tile[0].args if image.tile and image.format in ("PNG", "TIFF") else ""
    raw = arguments[0] if isinstance(arguments, tuple) else arguments
    if not isinstance(raw, str) or not _DEEP.fullmatch(raw):
        return ""
    return raw[:-1] + sys.byteorder[0].upper() if raw.endswith("N") else raw


def _bits(image: ImageFile.ImageFile) -> int:
    """Return the bits per channel of formats that Pillow reads with 8 bits."""
    if image.format == "TIFF":
        bits: Any = image.tag_v2.get(_BITS_PER_SAMPLE, 8)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    if image.format == "PPM" and image.tile:
        arguments = image.tile[0].args
        most = arguments[-1] if isinstance(arguments, tuple) else 0
        return 16 if isinstance(most, int) and most > FULL["uint8"] else 8
    return 8


def deep_values(
    image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values `(H, W)` or `(H, W, 3)` as floats, and the opacity `(H, W)` from 0 to 1, or None without it.

    Args:
        image: the opened image.
        again: function that opens it again.
    """
    if not (raw := _raw_mode(image)):
        values = np.asarray(image).astype(np.float32)
        hidden = image.info.get("transparency")
        return values, (values != hidden).astype(np.float32) if isinstance(hidden, int) else None
    channels = _sixteen_bits(image, again, raw)
    count = channels.shape[2]
    alpha = channels[..., -1] / FULL["uint16"] if raw.startswith(("LA", "RGBA")) else None
    colour = channels[..., 0] if count == 2 else channels[..., :3]
    hidden = image.info.get("transparency")
    if isinstance(hidden, tuple):
        alpha = (colour != np.array(hidden)).any(axis=2).astype(np.float32)
    return colour, alpha


def _sixteen_bits(
    image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], raw: str
) -> np.ndarray:
    """Return the channels `(H, W, C)` of an image that Pillow reads with 8 of 16 bits per channel.

    Pillow reads the more significant byte of each value; with the byte order reversed it reads the other byte. Two
    channels of 16 bits are read as four of 8.
    """
    if raw.startswith("LA"):
        _read_as(image, "RGBA")
        four = np.asarray(image).astype(np.float32)
        high, low = four[..., ::2], four[..., 1::2]
        return high * 256 + low if raw.endswith("B") else low * 256 + high
    other = again()
    _read_as(other, raw[:-1] + ("L" if raw.endswith("B") else "B"))
    with other:
        return np.asarray(image).astype(np.float32) * 256 + np.asarray(other)


def _read_as(image: ImageFile.ImageFile, raw: str) -> None:
    """Change the raw mode by which the bytes of an opened image are read."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]


def upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Return an image `(H, W, ...)` turned according to its EXIF orientation (1 to 8)."""
    if turn >= 5:
        values = np.swapaxes(values, 0, 1)
    if turn in (2, 3, 6, 7):
        values = values[:, ::-1]
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    return values
