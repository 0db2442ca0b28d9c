"""Read the pictures of a run as data URIs: PNG files of limited size, since the folder may be another user's."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from dlcli.files.regular import os_reason, read_regular
from dlcli.formatting import amount, counted
from dlcli.page.blocks import Photograph

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Limits that are far larger than the pictures of a run.
_BYTES, _PIXELS, _SIDE = 8 << 20, 40_000_000, 20_000
# Maximum size in bytes of all pictures of a page, and their maximum number.
_ALL_BYTES, _MOST = 24 << 20, 40

SALIENCY_TITLE = "Pixels that predictions depend on"

# Name of a picture's file to its caption, in the order of the page.
_TITLES = {
    "folds": "Each fold",
    "confusion_matrix": "Confusion matrix",
    "predicted_vs_actual": "Predicted and actual values",
    "residuals": "Residuals",
    "intervals": "Intervals",
    "forecast": "Forecasts",
    "one_forecast": "A forecast",
    "error_by_step": "Error by step",
    "roc": "ROC",
    "precision_recall": "Precision and recall",
    "reliability": "Reliability",
    "worst": "The worst images",
    "saliency": SALIENCY_TITLE,
    "samples": "Generated images",
    "samples_by_epoch": "Generated images by epoch",
    "interpolation": "Interpolation between noise vectors",
    "nearest": "Nearest training rows",
    "recognized": "Classes by the judge",
    "turns": "The two networks",
    "history": "The trials",
    "importances": "What mattered",
    "parallel_coordinates": "Settings of the trials",
    "contour": "The two most important settings",
    "pareto_front": "Pareto front",
    "learning_curves": "Learning curves",
}
# Pictures whose colours must not be inverted: images, and scales from dark to light.
_AS_THEY_ARE = (
    "worst", "saliency", "samples", "samples_by_epoch", "interpolation", "nearest", "parallel_coordinates", "contour",
)  # fmt: skip


def read_pictures(files: list[Path], left_out: set[str]) -> tuple[list[Photograph], list[str]]:
    """Return the pictures among files, and a sentence for each that cannot be shown.

    Args:
        files: the files in the run's folder of pictures.
        left_out: names without the extension whose content the page shows in another form.
    """
    order = {name: place for place, name in enumerate(_TITLES)}
    wanted = sorted(
        (file for file in files if file.stem not in left_out),
        key=lambda file: (order.get(file.stem, 99), file.name),
    )
    shown: list[Photograph] = []
    problems = (
        [f"{counted(len(wanted) - _MOST, 'more picture')} in {wanted[0].parent}"]
        if len(wanted) > _MOST
        else []
    )
    room = _ALL_BYTES
    for file in wanted[:_MOST]:
        try:
            if file.is_symlink():  # it may lead to a private file
                raise ValueError("it is a link")
            content = read_regular(file, min(_BYTES, room))
            width, height = _size(content)
        except OSError as error:
            problems.append(f"The picture {file.name} {os_reason(error)}.")
        except ValueError as error:
            problems.append(f"The picture {file.name} is not shown: {error}.")
        else:
            room -= len(content)
            uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            title = _TITLES.get(file.stem, file.stem.replace("_", " "))
            shown.append(Photograph(title, uri, width, height, file.stem not in _AS_THEY_ARE))
    return shown, problems


def _size(content: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file in pixels.

    Raises:
        ValueError: It is not a PNG file, is damaged, or is too large for a browser.
    """
    if not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        raise ValueError("it is not a PNG file")
    if zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        raise ValueError("it is damaged")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < width <= _SIDE or not 0 < height <= _SIDE or width * height > _PIXELS:
        raise ValueError(f"it has {width:,} x {height:,} pixels, {amount(len(content))}")
    return width, height
