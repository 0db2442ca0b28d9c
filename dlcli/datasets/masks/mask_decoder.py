"""Decode mask files to pixel values and class codes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.depth import Depth
from dlcli.datasets.images.formats import image_formats
from dlcli.datasets.images.image_decoder import BadImage, Fit
from dlcli.errors import first_line


@dataclass(frozen=True)
class MaskDecoder:
    """Decoder of mask files to class codes `(H, W)`; the counterpart of `dlcli.datasets.images.image_decoder.Decoder`.

    Attributes:
        size: height and width of the result.
        fit: `crop` scales the shorter side and crops the longer one; `stretch` scales both.
        codes: class code of each pixel value or colour.
        grey: always true; there is no channel axis.
        depth: type of the codes.
    """

    size: tuple[int, int]
    fit: Fit
    codes: Mapping[int, int]
    grey: bool = True
    depth: Depth = "uint8"

    def decode(self, entry: Stored) -> np.ndarray:
        """Return the class codes of a file; pixels without a class are `IGNORED`.

        Raises:
            BadImage: the file is not a mask, or has a value without a code.
        """
        return self.coded(mask_values(entry))

    def coded(self, values: np.ndarray) -> np.ndarray:
        """Return the class codes of the values of a mask, resized to `size` by nearest neighbours."""
        if values.dtype == np.uint8:
            codes = self._coded_bytes(values)
        else:
            found, places = np.unique(values, return_inverse=True)
            codes = np.array([self._code(value) for value in found.tolist()], np.uint8)[places]
        return _resized(codes.reshape(values.shape), self.size, self.fit)

    def _coded_bytes(self, values: np.ndarray) -> np.ndarray:
        known = {value: code for value, code in self.codes.items() if 0 <= value < 256}
        pixels = values.tobytes()
        if unknown := pixels.translate(None, delete=bytes(known)):
            self._code(min(unknown))
        table = bytes(known.get(value, 0) for value in range(256))
        return np.frombuffer(pixels.translate(table), np.uint8)

    def _code(self, value: int) -> int:
        code = self.codes.get(value)
        if code is None:
            raise BadImage(f"has pixels of the unknown class {value_in_words(value)}")
        return code


def mask_values(entry: Stored) -> np.ndarray:
    """Return the values of a mask `(H, W)`: grey levels, positions in the palette, or colours from `packed_colour` on.

    Raises:
        BadImage: the file is empty, damaged, or not an image of such values.
    """
    if not entry.size:
        raise BadImage("is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(entry.read()), formats=image_formats()) as opened:
            opened.load()
            mode, lossy = opened.mode, opened.format == "JPEG"
            values = np.asarray(opened)
    except Exception as error:  # of damaged files, Pillow raises many types
        raise BadImage(f"cannot be decoded: {first_line(error)}") from error
    if lossy:
        raise BadImage(
            "is a JPEG, and lossy compression changes the classes of pixels: use .png, .bmp or .tif"
        )
    if mode == "1":
        return values.astype(np.uint8)
    if mode in ("L", "P"):
        return values
    if mode == "I" or mode.startswith("I;16"):
        return values.astype(np.int64)
    if mode == "LA":
        return values[..., 0]
    if mode in ("RGB", "RGBA"):
        colours = values[..., :3].astype(np.int64)
        return packed_colour(colours[..., 0], colours[..., 1], colours[..., 2])
    raise BadImage(f"has pixels of the mode {mode}: masks must be grey, palette or RGB images")


def value_counts(values: np.ndarray) -> dict[int, int]:
    """Return the number of pixels of each value that occurs, sorted by value."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.reshape(-1), minlength=256)  # much faster than sorting
        return {value: int(counts[value]) for value in np.flatnonzero(counts).tolist()}
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


# Larger than all values of grey masks, so that a colour is never confused with one.
COLOURS = 1 << 24


def packed_colour(red: np.ndarray | int, green: np.ndarray | int, blue: np.ndarray | int) -> np.ndarray:
    """Return colours as one number each."""
    return np.asarray(COLOURS + (np.asarray(red) << 16) + (np.asarray(green) << 8) + blue)


def value_in_words(value: int) -> str:
    """Return a pixel value of a mask as text: `17`, or `rgb(0, 64, 128)`."""
    if value < COLOURS:
        return str(value)
    return f"rgb({value >> 16 & 255}, {value >> 8 & 255}, {value & 255})"


def _resized(codes: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    if codes.shape == size:
        return codes
    image, (height, width) = Image.fromarray(codes), size
    if fit == "crop":
        return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.NEAREST))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))
