"""Write predicted masks as pictures: palette PNGs of class codes, and overlays on the images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dlcli.datasets.images.image_decoder import read_header
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.masks.mask_classes import CLASSES_FILE
from dlcli.files.disk import write_errors

# Ending of the name of an overlay.
OVERLAY = "_overlay"

# Opacity of the class's colour in an overlay.
_OPACITY = 0.55


def class_colours(classes: int) -> np.ndarray:
    """Return a colour for each class, bytes `(C, 3)`: those of PASCAL VOC without the first one (black).

    The bits of an index are distributed over the channels from the highest bit on, so that consecutive colours differ.
    """
    numbers = np.arange(1, classes + 1)
    colours = np.zeros((classes, 3), np.uint8)
    for step in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * step + channel)) & 1) << (7 - step)).astype(np.uint8)
    return colours


def overlay(image: np.ndarray, codes: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return an image `(H, W)` or `(H, W, 3)` overlaid with the colours of its classes, bytes `(H, W, 3)`.

    Pixels with a code without a colour are unchanged.
    """
    base = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    known = codes < len(colours)
    painted = colours[np.where(known, codes, 0)]
    mixed = np.rint(base * (1 - _OPACITY) + painted * _OPACITY).astype(np.uint8)
    return np.where(known[..., None], mixed, base)


def write_masks(
    folder: Path, names: Sequence[str], x: Any, codes: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """Write `NAME.png`, a palette PNG of class codes, and `NAME_overlay.png` of each image, and `classes.txt`.

    A mask has the size of its image's file, unless the images were cropped.

    Args:
        folder: where to write.
        names: a name for each image.
        x: the images, bytes `(N, H, W)` or `(N, H, W, 3)`, or `ImageFiles`.
        codes: the class of each pixel, bytes `(N, H, W)`.
        classes: names of the classes, in the order of their codes.

    Returns:
        The columns `mask` and `overlay`, with the files.
    """
    colours = class_colours(len(classes))
    images = np.asarray(x)
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        images = np.rint((images - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    found = []
    with write_errors(folder):
        folder.mkdir(exist_ok=True)
        (folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        for row, name in enumerate(names):
            files = folder / f"{name}.png", folder / f"{name}{OVERLAY}.png"
            mask = _mask(x, row, codes[row], colours)
            shown = Image.fromarray(overlay(images[row], codes[row], colours))
            size = _own_size(x, row)
            if size is not None and size != codes[row].shape:
                shown = shown.resize(size[::-1], Image.Resampling.BILINEAR)
            mask.save(files[0])
            shown.save(files[1])
            found.append({"mask": str(files[0]), "overlay": str(files[1])})
    return pd.DataFrame(found)


def mask_addresses(x: Any, codes: np.ndarray, classes: int) -> list[str]:
    """Return the mask of each image as the address of a PNG, `data:image/png;base64,...`; see `write_masks`."""
    colours, found = class_colours(classes), []
    for row, own in enumerate(codes):
        written = io.BytesIO()
        _mask(x, row, own, colours).save(written, "PNG")
        found.append(f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}")
    return found


def _mask(x: Any, row: int, codes: np.ndarray, colours: np.ndarray) -> Image.Image:
    """Return the class of each pixel `(H, W)` with a palette, in the size of the image's file if it is known."""
    mask = Image.fromarray(codes)
    mask.putpalette(colours.tobytes())
    size = _own_size(x, row)
    return mask if size is None or size == codes.shape else mask.resize(size[::-1], Image.Resampling.NEAREST)


def are_cropped(x: Any) -> bool:
    """Return whether images are read from files and cropped, so that masks do not cover the whole file."""
    return isinstance(x, ImageFiles) and x.decoder.fit == "crop"


def _own_size(x: Any, row: int) -> tuple[int, int] | None:
    """Return height and width of an image's file; None if it is cropped, or not a file."""
    if not isinstance(x, ImageFiles) or are_cropped(x):
        return None
    return read_header(x.entries[row]).size
